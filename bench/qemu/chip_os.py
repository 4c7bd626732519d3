"""`os` on the emulated chip, whose port has no random numbers: what a chip with a key calls.

Its nonce is of no use there, for its session is given to it.
"""

from uos import chdir, stat

__all__ = ["chdir", "stat", "urandom"]  # the first is what starts a run


def urandom(size):
    """Returns so many zeros."""
    return bytes(size)
