"""What one member holds of a collective: the sum so far, and its own contribution to it."""

from protocol.compat import const, micropython, ptr32
from protocol.fields import int32s

_NONE = const(-1)  # no number
# Words of a round's state, where machine code finds them (firmware/compute/exchange.py): members
# of whom pieces are missing; the number that one's own contribution was made for, and its length;
# its pieces that were sent again lately, as a set; then the pieces that came of each member.
LEFT = const(0)
NUMBER = const(1)
COUNT = const(2)
AGAIN = const(3)
_ARRIVED = const(4)


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

    first: the element that `own` begins at; again_at: when pieces were sent again; arrived: the
    pieces that came of each member; state: the words above.
    """

    def __init__(self, members, capacity):
        self.total = int32s(capacity)
        self.own = int32s(capacity)
        self.first = self.again_at = 0
        self.state = int32s(_ARRIVED + members)
        self.arrived = self.state[_ARRIVED:]
        self.state[LEFT], self.state[NUMBER] = members, _NONE
        self._sizes = capacity, members

    @micropython.native
    def clear(self):
        """Makes room for another vector; what was contributed last can still be sent again."""
        capacity, members = self._sizes
        _clear(self.total, capacity)
        _clear(self.arrived, members)
        self.state[LEFT] = members
