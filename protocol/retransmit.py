"""Decides when to ask for missing contributions (protocol/collective.py).

A frame that is only late, on a slow or crowded channel or from a busy chip, comes without being
asked for; a lost one does not. So the wait is a multiple of the interval between contributions,
and grows each time that a member was asked in vain.
"""

from array import array

from protocol.compat import const, micropython

# The shortest wait, in milliseconds without a contribution: a constant, and more for each member,
# since their frames take turns.
_WAIT = const(6)
_WAIT_A_MEMBER = const(1)
# The wait is so many times the mean interval between two contributions, where that is longer.
_GAPS = const(4)
# Each request in vain lengthens a member's wait by a quarter, up to so many requests: to three
# times as long in the end.
_MOST_BACKED_OFF = const(6)
# Milliseconds, so short that several requests fit into the time before a member is given up.
_LONGEST_WAIT = const(300)

_CLOCK = const(0xFFFFFF)

# Bits of NEWS: a contribution came; something came, or began, that causes others to contribute.
DATA_CAME = const(1)
CAUSE_CAME = const(2)
# Words of the state that Silence and Collective share, at places that machine code knows too
# (firmware/compute/exchange.py).
NEWS = const(0)  # what has happened since the last call of pass_time
WAITED = const(1)  # milliseconds without a piece that was missing
TURN = const(2)  # milliseconds for which others may ask first
FRESH = const(3)  # what the backoff has not taken in yet: bits as below
STATE_WORDS = const(7)  # with those of protocol/collective.py
_BEGUN = const(1)  # a collective has begun
_PACED = const(2)  # before it came nothing but contributions, so their interval counts
# What pass_time returns.
NOTHING = const(0)
ASK = const(1)
GIVE_UP = const(2)


class Backoff:
    """Says how long to wait before a request to a member, and before each retry.

    wait: milliseconds without a contribution before the first request; clock: milliseconds, which
    wrap.
    """

    def __init__(self, members):
        self._least = self.wait = _WAIT + _WAIT_A_MEMBER * members
        self._mean = 0  # 8 times the mean of the milliseconds between contributions
        self.clock = 0
        # How often each member was asked in this collective, by any member, and when last.
        self._asked = bytearray(members)
        self._asked_at = array("i", bytes(4 * members))
        self._clean = True

    def clear(self):
        """Forgets all requests, for a new collective."""
        if not self._clean:
            self._clean = True
            for member in range(len(self._asked)):
                self._asked[member] = 0

    def pass_time(self, elapsed):
        """Advances the clock by `elapsed` milliseconds."""
        self.clock = (self.clock + elapsed) & _CLOCK

    def since(self, then):
        """Returns the milliseconds since the clock's reading `then`."""
        return (self.clock - then) & _CLOCK

    @micropython.native
    def learn(self, gap):
        """Takes in that a contribution came `gap` milliseconds after the one before."""
        self._mean += min(gap, _LONGEST_WAIT) - self._mean // 8
        self.wait = min(max(_GAPS * self._mean // 8, self._least), _LONGEST_WAIT)

    def is_due(self, member):
        """Returns whether it is time to ask a member: for the first time, or again."""
        asked, wait = self._asked[member], self.wait
        for _ in range(1, asked):
            wait += wait // 4
        return not asked or self.since(self._asked_at[member]) >= min(wait, _LONGEST_WAIT)

    def note(self, member):
        """Takes in that some member asked this one; requests close together count once."""
        self._clean = False
        asked = self._asked[member]
        if not asked or self.since(self._asked_at[member]) >= self.wait // 2:
            self._asked[member] = min(asked + 1, _MOST_BACKED_OFF)
            self._asked_at[member] = self.clock


class Silence:
    """Measures how long nothing has come, and says what to do about it.

    The code that takes in frames sets `state[WAITED]` to 0 for a piece that was missing, and adds
    to `state[NEWS]` DATA_CAME for any contribution, CAUSE_CAME for a frame that causes others.
    """

    def __init__(self, backoff, timeout, state):
        """timeout: milliseconds without a missing piece until GIVE_UP; state: int32 words."""
        self.state = state
        self._backoff = backoff
        self._timeout = timeout
        # Milliseconds without a contribution since the last request, less this member's turn; and
        # milliseconds without a contribution or a request.
        self._quiet = self._gap = 0

    def begin(self, turn):
        """Begins the next collective; turn: milliseconds for which others may ask first."""
        state = self.state
        state[FRESH] |= _BEGUN
        if state[NEWS] == DATA_CAME:  # the contribution that completed the last collective
            state[FRESH] |= _PACED
        state[NEWS] = DATA_CAME | CAUSE_CAME
        state[WAITED] = 0
        state[TURN] = turn
        self.settle()

    def settle(self):
        """Tells the backoff of collectives begun since the last call."""
        fresh = self.state[FRESH]
        if fresh:
            self.state[FRESH] = 0
            if fresh & _PACED:
                self._backoff.learn(self._gap)
            self._backoff.clear()

    def pass_time(self, elapsed):
        """Takes in that `elapsed` milliseconds passed; returns NOTHING, ASK or GIVE_UP.

        ASK: ask for missing pieces; GIVE_UP: once each time that the timeout has passed.
        """
        state = self.state
        news, state[NEWS] = state[NEWS], 0
        state[WAITED] += elapsed
        if state[WAITED] > self._timeout:
            state[WAITED] = 0
            return GIVE_UP
        if news & DATA_CAME:  # it may have come at the end of that time
            if news == DATA_CAME:
                self._backoff.learn(self._gap + elapsed)
            self.restart()
            return NOTHING
        self._gap = 0 if news else self._gap + elapsed
        self._quiet += elapsed
        return ASK if self._quiet >= self._backoff.wait else NOTHING

    def restart(self):
        """Starts the wait before the next request over."""
        self._quiet, self._gap = -self.state[TURN], 0
