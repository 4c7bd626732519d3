"""Puts a chip's shard of the model at the top of the heap, in one piece.

MicroPython's allocator takes the lowest gap that is large enough, and searches for it from the
lowest block that may be free. With the shard at the bottom, where it would stay, each allocation
of more than 16 bytes would walk over all of its blocks, some 2,500 steps for 160 KB. And a shard
loaded after the code would find the heap full of gaps that are too small. So the shard is loaded
first, above a filler that is then freed: code, buffers and transient objects have the bottom of
the heap to themselves.
"""

import gc

from protocol.compat import const

_STEP = const(2048)  # bytes by which the next filler to try is smaller, doubled each time
_ENDS = const(2048)  # bytes that all buffers lose together by taking whole blocks of 16
# Bytes allocated between garbage collections, so that transient objects stay low in a large heap.
_CLIMB = const(49152)
_LARGEST = const(2)  # index of a region's largest free piece in what esp32.idf_heap_info returns


def room():
    """Returns the bytes by which the heap can still grow, which gc.mem_free() counts as free.

    On a board that is ESP-IDF's largest free piece; None where the heap does not grow.
    """
    try:
        import esp32

        return max([region[_LARGEST] for region in esp32.idf_heap_info(esp32.HEAP_DATA)])
    except ImportError:
        return None


def filler(size):
    """Returns an object that leaves room above it for buffers of `size` bytes in all.

    Returns None if the heap has no piece large enough (an ESP32's lies in several areas). Drop the
    object when the buffers have been made. It never makes the heap grow: the memory that ESP-IDF
    has left is for the buffers themselves, and for Wi-Fi.
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
            bytearray(size)  # raises MemoryError if there is no room above
            return held
        except MemoryError:
            fill -= step
            step *= 2
    return None


def finish():
    """Sets up the garbage collector, once all permanent objects have been made."""
    gc.collect()
    gc.threshold(_CLIMB)
