"""Keeps the bottom of the heap for what comes and goes.

MicroPython's allocator searches from the lowest block that may be free. With a share of the model
at the bottom, which never goes, every allocation of more than 16 bytes would walk over all of
its blocks: some 2,500 steps for 160 KB. So the first thing a chip does is to reserve a piece of
heap, and the last before its loop starts is to give it back; garbage is collected before the
transient objects have outgrown it.
"""

import gc

from protocol.compat import const

_MOST = const(65536)  # bytes; collecting costs more time than this much room saves
_FRACTION = const(16)  # of the free heap

_reserved = []


def reserve():
    """Takes the bottom of the heap, before anything else of size is made."""
    _reserved.append(bytearray(min(_MOST, gc.mem_free() // _FRACTION)))


def release():
    """Gives it back, when all that stays has been made."""
    size = len(_reserved.pop())
    gc.collect()
    gc.threshold(size * 3 // 4)
