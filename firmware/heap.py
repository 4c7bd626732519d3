"""Puts a chip's shard of the model at the top of the heap, in one piece.

MicroPython's allocator takes the lowest gap that is large enough, and searches for it from the
lowest block that may be free. With the shard at the bottom, where it never goes, each
allocation of more than 16 bytes would walk over all of its blocks, some 2,500 steps for
160 KB; and loaded after the code, it would find the heap full of gaps too small for it. So
the shard is loaded first, above a filler that is then given back: code, buffers and all that
comes and goes have the bottom to themselves.
"""

import gc

from protocol.compat import const

_STEP = const(2048)  # bytes by which a filler is tried smaller, doubled each time
_ENDS = const(2048)  # bytes that buffers lose at their ends: each takes whole blocks of 16
# Garbage is collected before transient objects climb far up a large heap.
_CLIMB = const(49152)
_LARGEST = const(2)  # of what esp32.idf_heap_info says of a region: its largest free piece


def room():
    """Bytes by which the heap can still grow, which gc.mem_free() counts as free: on a board the
    largest piece that ESP-IDF has; None where it does not grow."""
    try:
        import esp32

        return max([region[_LARGEST] for region in esp32.idf_heap_info(esp32.HEAP_DATA)])
    except ImportError:
        return None


def filler(size):
    """An object that leaves room above it for buffers of `size` bytes together, or None where the
    heap has no piece large enough (an ESP32's lies in several areas).

    It never has the heap grow: what ESP-IDF has left is for the buffers themselves, and for Wi-Fi.
    Drop it when the buffers have been made.
    """
    if not hasattr(gc, "mem_free"):
        return None  # CPython
    gc.collect()
    size += _ENDS
    fill, step = gc.mem_free() - (room() or 0) - size, _STEP
    while fill > 0:
        held = None
        try:
            held = bytearray(fill)
            bytearray(size)  # is there room above?
            return held
        except MemoryError:
            fill -= step
            step *= 2
    return None


def finish():
    """Sets the garbage collector up for work, once all that stays has been made."""
    gc.collect()
    gc.threshold(_CLIMB)
