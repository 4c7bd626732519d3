"""What a member keeps of one collective: the sum so far, and its own contribution to it."""

from protocol.compat import const, micropython, ptr32
from protocol.fields import int32s

_NONE = const(-1)  # no number
# Words of a round's state, at places that machine code knows too (firmware/compute/exchange.py).
LEFT = const(0)  # members whose contributions are incomplete
NUMBER = const(1)  # the collective that this member's own contribution was made for
COUNT = const(2)  # elements of that contribution
AGAIN = const(3)  # the set of its pieces that were sent again lately
_ARRIVED = const(4)  # and on: for each member, the set of its pieces that have come


@micropython.viper
def contribute(total: ptr32, first: int, values: ptr32, own: ptr32, count: int):
    """Adds values [count] to total[first : first + count], and copies them to own [count]."""
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
    """The sum of one collective, and this member's contribution to it or to the last but one.

    total: int32 [capacity], the sum so far; own: int32 [capacity], this member's contribution, to
    elements `first` and on; again_at: when pieces of it were last sent again; state: the words
    above; arrived: those of them that tell which pieces have come.
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
        """Sets the sum to zero for the next collective; `own` stays, to be sent again if asked."""
        capacity, members = self._sizes
        _clear(self.total, capacity)
        _clear(self.arrived, members)
        self.state[LEFT] = members
