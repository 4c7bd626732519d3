"""Where objects come to lie in a chip's heap. MicroPython alone runs these."""

import gc

from uctypes import addressof

from firmware.heap import filler

SIZE = 40000


def test_what_is_made_above_the_filler_lies_above_all_that_comes_later():
    below = filler(SIZE)
    share = [bytearray(SIZE // 4) for _ in range(4)]
    del below
    gc.collect()
    later = bytearray(gc.mem_free() // 4)
    for part in share:
        assert addressof(part) > addressof(later)


def test_a_heap_without_room_gets_no_filler():
    assert filler(gc.mem_free()) is None
