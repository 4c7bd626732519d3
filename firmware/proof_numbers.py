"""Makes the numbers that kernels are compared on.

They come from a Lehmer generator (75, modulo 65537), either from their whole range or only from
its two ends. Drawing a number takes a chip 10 to 15 us, so long buffers repeat their first ones.
"""

from array import array

_DRAWN = 251  # numbers drawn for a buffer, at most: a prime, so that rows of a matrix differ


class Numbers:
    """Draws numbers and fills buffers with them; ends: whether to draw only the bounds."""

    def __init__(self, seed, ends):
        self._state, self._ends = seed, ends

    def number(self, low, high):
        """Returns an integer, low <= n <= high."""
        self._state = state = self._state * 75 % 65537
        if self._ends:
            return high if state & 16 else low
        return low + state * (high - low) // 65536

    def words(self, low, high, count):
        """Returns int32 numbers."""
        drawn = [self.number(low, high) for _ in range(min(count, _DRAWN))]
        return _filled(array("i", drawn), count)

    def octets(self, low, high, count):
        """Returns u8 numbers."""
        drawn = [self.number(low, high) for _ in range(min(count, _DRAWN))]
        return _filled(bytearray(drawn), count)

    def halves(self, low, high, count):
        """Returns u16 numbers."""
        drawn = min(count, _DRAWN)
        made = bytearray(2 * drawn)
        for i in range(drawn):
            value = self.number(low, high)
            made[2 * i], made[2 * i + 1] = value & 255, value >> 8
        return _filled(made, 2 * count)


def _filled(drawn, count):
    """Returns the drawn numbers, repeated to `count` items."""
    again = drawn[:]
    while len(drawn) < count:
        drawn.extend(again[: count - len(drawn)])
    return drawn
