"""Makes the chips of a group take turns at sending, so that their frames do not collide on the
air.

The contributions of a group are ready on all chips at about the same time. Radios that then begin
to send at once collide now and then, and a broadcast is not repeated by the radio. So each chip
waits for as long as the contributions of the members before it take that have not come yet. Loaded
if there are more than two chips on the radio; bench/contention.py models the collisions.
"""

from protocol.compat import const

_WHOLE = const(-1)  # no piece is missing, as in protocol/collective.py
_NOW = const(4)
_NONE = const(-1)


def install(outbox, collective, slot, sleep=None):
    """Makes an outbox broadcast in its turn.

    slot: microseconds that a contribution takes on the air; sleep(us): waits, for tests.
    """
    if sleep is None:
        from time import sleep_us as sleep

    broadcast, state, me = outbox._broadcast, collective.state, collective._me
    waited = [_NONE]  # the number of the last collective that this chip waited its turn for

    def send(frame, length):
        # All pieces of a contribution go in one turn; retransmissions do not wait.
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
