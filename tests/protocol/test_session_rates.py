"""How many DISCOVERYs a chip answers: forgeries and recordings keep none from joining."""

from host.wire.session import HostAuthenticator
from protocol import message_types, session
from protocol.frame import HOST, ProtocolError
from protocol.messages import STATE_READY
from protocol.session import ChipAuthenticator
from tests.protocol.handshakes import KEY, answered, discovery, frame_of, is_accepted, joined


class Clock:
    """Milliseconds that pass when a test says so, for all chips while it is entered."""

    def __init__(self):
        self.now = 0
        self._before = session.ticks_ms

    def __enter__(self):
        session.ticks_ms = lambda: self.now
        return self

    def __exit__(self, *_):
        session.ticks_ms = self._before


def answers(chip, frame, times=20):
    """How many of so many DISCOVERYs a chip answers."""
    count = 0
    for _ in range(times):
        try:
            answered(chip, frame)
            count += 1
        except ProtocolError:
            pass
    return count


def forged(frame):
    """The frame with another MAC."""
    frame = bytearray(frame)
    frame[-1] ^= 1
    return bytes(frame)


def test_discoveries_are_answered_at_a_limited_rate():
    with Clock() as clock:
        host, old = HostAuthenticator(KEY), HostAuthenticator(KEY)
        chip = ChipAuthenticator(KEY, 3, 5)
        announcement, proof = joined(old, chip)
        of_session = joined(host, chip)[0]
        # All are replays, of which those of a right proof are counted from the first one on.
        assert answers(chip, announcement) == 8 and answers(chip, of_session) == 0
        assert answers(chip, proof) == 1
        clock.now += 49
        assert answers(chip, announcement) == answers(chip, of_session) == 0
        clock.now += 1
        assert answers(chip, announcement) == 1
        clock.now += 50
        assert answers(chip, of_session) == 1
        clock.now += 200
        assert answers(chip, announcement) == 4
        clock.now += 100_000
        assert answers(chip, announcement) == 8


def test_whoever_has_no_key_keeps_no_chip_from_answering():
    with Clock():
        host, chip = HostAuthenticator(KEY), ChipAuthenticator(KEY, 3, 5)
        announcement = discovery(host, host.announcement())
        assert answers(chip, forged(announcement), 500) == 0
        proof = joined(host, chip)[1]
        assert answers(chip, forged(announcement), 500) == 0
        assert answers(chip, forged(proof), 500) == 0
        assert answers(chip, announcement) == 8 and chip.refused == 12
        assert is_accepted(chip, frame_of(host, message_types.COMPUTE, HOST, 3, b"work"))


def test_a_forged_discovery_of_the_session_costs_one_hmac():
    host, chip = HostAuthenticator(KEY), ChipAuthenticator(KEY, 3, 5)
    frame = forged(joined(host, chip)[0])
    made = []
    chip._join_key = made.append
    for _ in range(50):
        assert not is_accepted(chip, frame)
    assert not made


def test_what_is_new_does_not_compete_with_replays():
    with Clock() as clock:
        chip, recorded = ChipAuthenticator(KEY, 3, 5), []
        for _ in range(4):
            host = HostAuthenticator(KEY)
            recorded += joined(host, chip)
            clock.now += 10_000
        recorded += [discovery(host, host.announcement()) for _ in range(2)]

        def replay():
            for frame in recorded:
                answers(chip, frame)

        replay()
        # The host asks in the session, and again, and begins another; all is replayed at once.
        for _ in range(20):
            recorded.append(discovery(host, host.announcement()))
            assert answers(chip, recorded[-1], 1) == 1
            replay()
            clock.now += 100
        host.renew()
        for _ in range(20):
            recorded.append(discovery(host, host.announcement()))
            assert answers(chip, recorded[-1], 1) == 1
            replay()
            clock.now += 100
        joined(host, chip)


def test_a_right_proof_is_always_answered():
    with Clock():
        chip, host = ChipAuthenticator(KEY, 3, 5), HostAuthenticator(KEY)
        announcement = discovery(host, host.announcement())
        assert answers(chip, announcement) == 9
        proof = discovery(host, host.proof(3, chip.nonce), 3)
        assert answered(chip, proof)[0] == STATE_READY


def test_the_host_is_answered_as_often_as_it_asks_again():
    """Of 128 chips too; host/cluster/timeout.py has the tenth of a second."""
    with Clock() as clock:
        chip, host = ChipAuthenticator(KEY, 3, 128), HostAuthenticator(KEY)

        def is_answered():
            clock.now += 100
            return answers(chip, discovery(host, host.announcement()), 1) == 1

        assert all([is_answered() for _ in range(150)])
        joined(host, chip)
        assert all([is_answered() for _ in range(150)])


def test_a_clock_that_has_wrapped_stops_no_chip_from_answering():
    def wrapping(later, earlier):  # as MicroPython's
        return (later - earlier + (1 << 29)) % (1 << 30) - (1 << 29)

    before, session.ticks_diff = session.ticks_diff, wrapping
    try:
        with Clock() as clock:
            chip, host = ChipAuthenticator(KEY, 3, 5), HostAuthenticator(KEY)
            frame = discovery(host, host.announcement())
            assert answers(chip, frame) == 9
            clock.now += 7 * 24 * 3_600_000
            assert answers(chip, frame) == 8
            clock.now += 50
            assert answers(chip, frame) == 1
    finally:
        session.ticks_diff = before
