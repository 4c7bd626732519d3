"""Parallelism as the literature defines it: pipeline schedules, parallel embeddings, and the cost
of communication.

No command uses it, and it costs chips nothing. It serves, with its tests, for comparison with the
project's own strategies and figures.
"""
