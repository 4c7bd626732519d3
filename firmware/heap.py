"""Puts a chip's share of the model at the top of the heap, in one piece.

MicroPython's allocator takes the lowest gap that is large enough, and searches for it from the
lowest block that may be free. With the share at the bottom, where it never goes, each
allocation of more than 16 bytes would walk over all of its blocks, some 2,500 steps for
160 KB; and loaded after the code, it would find the heap full of gaps too small for it. So
the share is loaded first, above a filler that is then given back: code, buffers and all that
comes and goes have the bottom to themselves.
"""

import gc

from protocol.compat import const

# At most what gaps below take, left by loading the loader; what is not needed stays free on top.
_GAPS = const(12288)
# Garbage is collected before transient objects climb far up a large heap.
_CLIMB = const(49152)


def filler(size):
    """An object that leaves `size` bytes of the heap above it, or None where that cannot be had.

    Drop it when what belongs above has been made.
    """
    if not hasattr(gc, "mem_free"):
        return None  # under CPython, in tests
    gc.collect()
    fill = gc.mem_free() - size - _GAPS
    while fill > _GAPS:
        try:
            return bytearray(fill)
        except MemoryError:
            fill -= _GAPS  # a heap in several areas, as an ESP32's, has no piece so large
    return None


def settle():
    """To be called when all that stays has been made."""
    gc.collect()
    gc.threshold(_CLIMB)
