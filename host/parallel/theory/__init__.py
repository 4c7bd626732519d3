"""Parallelism as the literature defines it: pipeline schedules, parallel embeddings, what
communication costs.

No command uses any of it, and it costs a chip nothing. It is kept, with its tests, as what the
product's own strategies and figures are compared with.
"""
