"""Chips of a group take turns at sending, so that their frames do not collide on the air.

What a group exchanges becomes ready on all chips at about the same time, and radios that want the
air at once send at once now and then: frames to all are lost then for good. So each waits for as
long as the contributions take of those before it, in the order of members, that have not come.
Loaded where there are more than two on the radio; bench/contention.py is what it avoids.
"""

from protocol.compat import const

_WHOLE = const(-1)  # as in protocol/collective.py
_NOW = const(4)
_NONE = const(-1)


def install(outbox, collective, slot, sleep=None):
    """Has an outbox broadcast in its turn; slot: microseconds that a contribution takes on the
    air; sleep: what waits for so many."""
    if sleep is None:
        from time import sleep_us as sleep

    broadcast, state, me = outbox._broadcast, collective.state, collective._me
    waited = [_NONE]  # the number of the collective that was waited for last

    def send(frame, length):
        # All pieces of a contribution in one turn; what is sent again waits for nobody.
        if state[_NOW] != waited[0]:
            waited[0] = state[_NOW]
            arrived, before = collective._round().arrived, 0
            for member in range(me):
                if arrived[member] != _WHOLE:
                    before += 1
            if before:
                sleep(before * slot)
        broadcast(frame, length)

    outbox._broadcast = send
