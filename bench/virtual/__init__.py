"""Runs whole clusters in virtual time: the firmware's own sources under CPython, the host's own
executors and a simulated radio, in one process.

Nothing waits, and the same seed gives the same run.
"""
