"""Seeded random integers and guarded buffers, for tests that run under both Pythons."""

import random

from protocol.fields import int32s

GUARD = -0x55AA55AA


def between(low, high):
    """A random integer from low to high, both included; MicroPython's randint stops at 30 bits."""
    return low + (random.getrandbits(30) << 10 | random.getrandbits(10)) % (high - low + 1)


def mixed(low, high, count):
    """`count` integers from low to high: a third extreme, a third small, a third anything."""
    small = (max(low, -200), min(high, 200)) if low <= 200 and high >= -200 else (low, high)
    extremes = [v for v in (low, low + 1, -1, 0, 1, high - 1, high) if low <= v <= high]
    values = []
    for _ in range(count):
        kind = between(0, 2)
        if kind == 0:
            values.append(extremes[between(0, len(extremes) - 1)])
        elif kind == 1:
            values.append(between(*small))
        else:
            values.append(between(low, high))
    return values


class Guarded:
    """int32 buffer between guards, as a chip's kernels get them: a slice of a larger one."""

    def __init__(self, values):
        self._whole = int32s(len(values) + 2)
        self._whole[0] = self._whole[len(values) + 1] = GUARD
        self.view = self._whole[1 : len(values) + 1]
        for index, value in enumerate(values):
            self.view[index] = value

    def values(self):
        """What is in the buffer now, as a list. AssertionError if anything wrote beside it."""
        assert self._whole[0] == self._whole[len(self._whole) - 1] == GUARD, "wrote beside"
        return list(self.view)
