"""What one member holds of a collective: the sum so far, and its own contribution to it."""

from array import array

from protocol.compat import const, micropython, ptr32
from protocol.fields import int32s

_NONE = const(-1)  # no number


@micropython.viper
def contribute(total: ptr32, first: int, values: ptr32, own: ptr32, count: int):
    """Adds values [count] to total[first] and on, and keeps them in `own`."""
    i = 0
    while i < count:
        value = values[i]
        own[i] = value
        total[first] = total[first] + value
        first += 1
        i += 1


@micropython.viper
def _clear(total: ptr32, count: int):
    while count:
        count -= 1
        total[count] = 0


class Round:
    """The vector of one collective, and one's own contribution to it or to the last but one.

    first, count: the range that `own` is for; number: the collective that it was made for;
    again, again_at: its pieces that were sent again lately, as a set, and when.
    arrived: the pieces that came of each member; left: members of which some are missing.
    """

    def __init__(self, members, capacity):
        self.total = int32s(capacity)
        self.own = int32s(capacity)
        self.number = _NONE
        self.first = self.count = 0
        self.again = self.again_at = 0
        self.arrived = array("i", bytes(4 * members))
        self.left = members
        self._sizes = capacity, members

    @micropython.native
    def clear(self):
        """Makes room for another vector; what was contributed last can still be sent again."""
        capacity, members = self._sizes
        _clear(self.total, capacity)
        _clear(self.arrived, members)
        self.left = members
