"""When to ask for contributions that do not come; see protocol/collective.py.

What is only late, because the air is slow or crowded or a chip is busy, comes without being asked
for; what is lost does not. So the wait is long where contributions come at long intervals, and
longer each time for a member that was asked in vain.
"""

from array import array

from protocol.compat import const, micropython

# Milliseconds without a contribution after which missing ones are asked for, at least: a constant
# and one for each member, whose frames take turns.
_WAIT = const(6)
_WAIT_A_MEMBER = const(1)
# So many times the mean of the time between two contributions, where that is longer.
_GAPS = const(4)
# A member has a quarter more time with each request in vain, as far as so many of them count:
# three times as long in the end.
_MOST_BACKED_OFF = const(6)
# At most, so that there are some requests before anybody is given up.
_LONGEST_WAIT = const(300)

_CLOCK = const(0xFFFFFF)

# What has happened since the last turn: a contribution came, and something that others may follow.
DATA_CAME = const(1)
CAUSE_CAME = const(2)
# Words of the state that Silence and Collective have in common, where machine code finds them
# (firmware/compute/exchange.py): what happened since the last turn; milliseconds without a piece
# that was missing; milliseconds for which others go first; collectives begun, _BEGUN, and one
# before which nothing but contributions came, _PACED, of which the backoff knows nothing yet.
NEWS = const(0)
WAITED = const(1)
TURN = const(2)
FRESH = const(3)
STATE_WORDS = const(7)  # with those of protocol/collective.py
_BEGUN = const(1)
_PACED = const(2)
# What a silence calls for.
NOTHING = const(0)
ASK = const(1)
GIVE_UP = const(2)


class Backoff:
    """How long to wait before members are asked, and asked again.

    wait: milliseconds without a contribution; clock: milliseconds, which wrap.
    """

    def __init__(self, members):
        self._least = self.wait = _WAIT + _WAIT_A_MEMBER * members
        self._mean = 0  # 8 times that of the milliseconds between contributions
        self.clock = 0
        # How often each member was asked in this collective, by anybody, and when the last time.
        self._asked = bytearray(members)
        self._asked_at = array("i", bytes(4 * members))
        self._clean = True

    def clear(self):
        """Nobody has been asked yet."""
        if not self._clean:
            self._clean = True
            for member in range(len(self._asked)):
                self._asked[member] = 0

    def pass_time(self, elapsed):
        """Lets so many milliseconds pass."""
        self.clock = (self.clock + elapsed) & _CLOCK

    def since(self, then):
        """Milliseconds since then."""
        return (self.clock - then) & _CLOCK

    @micropython.native
    def learn(self, gap):
        """Takes in that a contribution has come so many milliseconds after the one before."""
        self._mean += min(gap, _LONGEST_WAIT) - self._mean // 8
        self.wait = min(max(_GAPS * self._mean // 8, self._least), _LONGEST_WAIT)

    def is_due(self, member):
        """Whether a member is to be asked: for the first time, or again."""
        asked, wait = self._asked[member], self.wait
        for _ in range(1, asked):
            wait += wait // 4
        return not asked or self.since(self._asked_at[member]) >= min(wait, _LONGEST_WAIT)

    def note(self, member):
        """Takes in that a member was asked, by whomever: requests close together count once."""
        self._clean = False
        asked = self._asked[member]
        if not asked or self.since(self._asked_at[member]) >= self.wait // 2:
            self._asked[member] = min(asked + 1, _MOST_BACKED_OFF)
            self._asked_at[member] = self.clock


class Silence:
    """Notices how long nothing has come, and says what that calls for.

    Whoever takes in what comes sets `state[WAITED]` to 0 for a piece that was missing, and adds
    DATA_CAME to `state[NEWS]` for any contribution, CAUSE_CAME for what others may follow.
    """

    def __init__(self, backoff, timeout, state):
        """timeout: milliseconds without a piece that was missing; state: int32 [STATE_WORDS]."""
        self.state = state
        self._backoff = backoff
        self._timeout = timeout
        # Milliseconds without any contribution since asking, less one's turn; and without a
        # request either.
        self._quiet = self._gap = 0

    def begin(self, turn):
        """Begins anew with another collective; turn: milliseconds for which others go first."""
        state = self.state
        state[FRESH] |= _BEGUN
        if state[NEWS] == DATA_CAME:  # the last one, with which the collective before was done
            state[FRESH] |= _PACED
        state[NEWS] = DATA_CAME | CAUSE_CAME
        state[WAITED] = 0
        state[TURN] = turn
        self.settle()

    def settle(self):
        """Has the backoff know of collectives that were begun."""
        fresh = self.state[FRESH]
        if fresh:
            self.state[FRESH] = 0
            if fresh & _PACED:
                self._backoff.learn(self._gap)
            self._backoff.clear()

    def pass_time(self, elapsed):
        """What so many milliseconds more call for: NOTHING, ASK for what is missing, or GIVE_UP,
        once each time that the timeout passes."""
        state = self.state
        news, state[NEWS] = state[NEWS], 0
        state[WAITED] += elapsed
        if state[WAITED] > self._timeout:
            state[WAITED] = 0
            return GIVE_UP
        if news & DATA_CAME:  # most of that time may have passed before
            if news == DATA_CAME:
                self._backoff.learn(self._gap + elapsed)
            self.restart()
            return NOTHING
        self._gap = 0 if news else self._gap + elapsed
        self._quiet += elapsed
        return ASK if self._quiet >= self._backoff.wait else NOTHING

    def restart(self):
        """Waits anew before anybody is asked."""
        self._quiet, self._gap = -self.state[TURN], 0
