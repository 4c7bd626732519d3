"""The numbers that kernels are proved on.

They come from a generator of Lehmer (75, modulo 65537), in turn over their whole range and at its
ends alone. A number drawn takes a chip 10 to 15 us: long buffers repeat those that they begin
with.
"""

from array import array

_DRAWN = 251  # numbers at most of a buffer: a prime, so that rows of a matrix differ


class Numbers:
    """Buffers of numbers; ends: whether only the bounds occur."""

    def __init__(self, seed, ends):
        self._state, self._ends = seed, ends

    def number(self, low, high):
        """An integer within bounds."""
        self._state = state = self._state * 75 % 65537
        if self._ends:
            return high if state & 16 else low
        return low + state * (high - low) // 65536

    def words(self, low, high, count):
        """int32."""
        drawn = [self.number(low, high) for _ in range(min(count, _DRAWN))]
        return _filled(array("i", drawn), count)

    def octets(self, low, high, count):
        """u8."""
        drawn = [self.number(low, high) for _ in range(min(count, _DRAWN))]
        return _filled(bytearray(drawn), count)

    def halves(self, low, high, count):
        """u16."""
        drawn = min(count, _DRAWN)
        made = bytearray(2 * drawn)
        for i in range(drawn):
            value = self.number(low, high)
            made[2 * i], made[2 * i + 1] = value & 255, value >> 8
        return _filled(made, 2 * count)


def _filled(drawn, count):
    """A buffer, repeated up to so many items."""
    again = drawn[:]
    while len(drawn) < count:
        drawn.extend(again[: count - len(drawn)])
    return drawn
