"""The session handshake between keyed nodes, and what an attacker may try on it."""

from host.wire.session import ChipRestarted, HostAuthenticator
from protocol import message_types, session
from protocol.auth import Hmac, Signer
from protocol.frame import BROADCAST, HOST, MAX_FRAME, ProtocolError, seal, verify_frame
from protocol.message import FederationMessage
from protocol.messages import STATE_ASKS_PROOF, STATE_READY
from protocol.session import ChipAuthenticator
from tests.dual import raises

KEY = b"the key of the whole cluster"


def frame_of(member, kind, src, dst, payload=b""):
    return FederationMessage(kind, src, dst, 1, payload, 3).encode(member)


def discovery(host, payload, dst=BROADCAST):
    return frame_of(host, message_types.DISCOVERY, HOST, dst, payload)


def answered(chip, frame):
    """The chip's state after a DISCOVERY frame and its READY: the nonce as payload here."""
    state = chip.state_after(frame, verify_frame(frame, len(frame), chip))
    return state, frame_of(chip, message_types.READY, 3, HOST, bytes([state]) + chip.nonce)


def joined(host, chip, chip_id=3):
    """Runs the whole handshake; its two DISCOVERY frames."""
    first = discovery(host, host.announcement())
    state, ready = answered(chip, first)
    assert state == STATE_ASKS_PROOF
    nonce = FederationMessage.decode(ready, host).payload[1:]
    second = discovery(host, host.proof(chip_id, nonce), chip_id)
    state, ready = answered(chip, second)
    assert state == STATE_READY
    assert FederationMessage.decode(ready, host).payload[0] == STATE_READY
    return first, second


def is_accepted(member, frame):
    try:
        verify_frame(frame, len(frame), member)
    except ProtocolError:
        return False
    return True


def test_a_handshake_lets_both_talk():
    host = HostAuthenticator(KEY)
    chip = ChipAuthenticator(KEY, 3)
    joined(host, chip)
    assert is_accepted(chip, frame_of(host, message_types.COMPUTE, HOST, 3, b"work"))
    assert is_accepted(host, frame_of(chip, message_types.PARTIAL, 3, HOST, b"sum"))


def test_the_session_key_is_the_hmac_of_the_nonce():
    host = HostAuthenticator(KEY)
    chip = ChipAuthenticator(KEY, 3)
    joined(host, chip)
    known = Signer(Hmac(KEY).digest(host.announcement()))
    assert len(host.announcement()) == 16
    assert is_accepted(known, frame_of(host, message_types.COMPUTE, HOST, 3))
    assert is_accepted(known, frame_of(chip, message_types.PARTIAL, 3, HOST))


def test_many_chips_share_a_session():
    host = HostAuthenticator(KEY)
    chips = [ChipAuthenticator(KEY, chip_id) for chip_id in range(20)]
    for chip_id, chip in enumerate(chips):
        joined(host, chip, chip_id)
    broadcast = frame_of(host, message_types.COMPUTE, HOST, BROADCAST)
    for chip in chips:
        assert is_accepted(chip, broadcast)
        assert not is_accepted(chip, broadcast)
    between = frame_of(chips[7], message_types.PARTIAL, 7, 8)
    assert is_accepted(chips[8], between)


def test_lost_and_repeated_handshake_messages_do_no_harm():
    host = HostAuthenticator(KEY)
    chip = ChipAuthenticator(KEY, 3)
    first = discovery(host, host.announcement())
    nonces = set()
    for _ in range(3):
        state, ready = answered(chip, first)
        assert state == STATE_ASKS_PROOF
        nonces.add(bytes(FederationMessage.decode(ready, host).payload[1:]))
    assert len(nonces) == 1
    nonce = nonces.pop()
    for _ in range(3):
        state, ready = answered(chip, discovery(host, host.proof(3, nonce), 3))
        assert state == STATE_READY
    work = frame_of(host, message_types.COMPUTE, HOST, 3)
    assert is_accepted(chip, work)
    assert answered(chip, first)[0] == STATE_READY
    assert answered(chip, discovery(host, host.proof(3, nonce), 3))[0] == STATE_READY
    assert not is_accepted(chip, work)  # repeating the handshake did not empty the windows


def test_nothing_but_joining_is_accepted_or_sent_before_a_session():
    host = HostAuthenticator(KEY)
    chip = ChipAuthenticator(KEY, 3)
    assert not is_accepted(chip, frame_of(host, message_types.COMPUTE, HOST, 3))
    assert not is_accepted(chip, frame_of(host, message_types.READY, 3, HOST))
    raises(ProtocolError, frame_of, chip, message_types.PARTIAL, 3, HOST)
    raises(ProtocolError, frame_of, chip, message_types.READY, 3, HOST)
    answered(chip, discovery(host, host.announcement()))
    assert not is_accepted(chip, frame_of(host, message_types.COMPUTE, HOST, 3))


def test_unsigned_frames_are_refused():
    host = HostAuthenticator(KEY)
    chip = ChipAuthenticator(KEY, 3)
    joined(host, chip)
    for version in (1, 2):
        for kind in (message_types.COMPUTE, message_types.DISCOVERY, message_types.READY):
            frame = FederationMessage(kind, HOST, 3, 1, host.announcement(), version).encode()
            assert not is_accepted(chip, frame)
            assert not is_accepted(host, frame)


def test_another_cluster_key_does_not_join():
    host = HostAuthenticator(KEY)
    chip = ChipAuthenticator(KEY, 3)
    stranger = HostAuthenticator(KEY + b"?")
    assert not is_accepted(chip, discovery(stranger, stranger.announcement()))
    answered(chip, discovery(host, host.announcement()))
    foreign = ChipAuthenticator(KEY + b"?", 3)
    answered(foreign, discovery(stranger, stranger.announcement()))
    assert not is_accepted(host, frame_of(foreign, message_types.READY, 3, HOST, b"\1"))
    raises(ValueError, HostAuthenticator, b"15 bytes of key")
    raises(ValueError, ChipAuthenticator, b"15 bytes of key", 3)


def test_an_old_session_replayed_to_a_restarted_chip_is_refused():
    host = HostAuthenticator(KEY)
    recorded = list(joined(host, ChipAuthenticator(KEY, 3)))
    work = frame_of(host, message_types.COMPUTE, HOST, 3, b"old")
    chip = ChipAuthenticator(KEY, 3)
    for frame in recorded + [recorded[1]]:
        assert answered(chip, frame)[0] == STATE_ASKS_PROOF
    assert chip.session is None
    assert chip.refused == 2
    assert not is_accepted(chip, work)
    host.renew()
    joined(host, chip)
    for frame in recorded:
        assert answered(chip, frame)[0] == STATE_ASKS_PROOF
    assert not is_accepted(chip, work)
    assert is_accepted(chip, frame_of(host, message_types.COMPUTE, HOST, 3, b"new"))


def test_an_old_session_replayed_to_a_running_chip_changes_nothing():
    chip = ChipAuthenticator(KEY, 3)
    old = joined(HostAuthenticator(KEY), chip)
    host = HostAuthenticator(KEY)
    joined(host, chip)
    session = chip.session
    for frame in old:
        state, ready = answered(chip, frame)
        assert state == STATE_ASKS_PROOF
        assert not is_accepted(host, ready)
    assert chip.session is session
    assert is_accepted(chip, frame_of(host, message_types.COMPUTE, HOST, 3))


def test_a_replay_leaves_the_key_with_which_chips_join_and_the_session():
    chip, old, host = ChipAuthenticator(KEY, 3), HostAuthenticator(KEY), HostAuthenticator(KEY)
    recorded = joined(old, chip)
    joined(host, chip)
    signer, nonce = chip.session, chip.nonce
    for frame in recorded:
        assert answered(chip, frame)[0] == STATE_ASKS_PROOF
        assert chip.session is signer and chip.nonce == nonce
        assert is_accepted(chip, frame_of(host, message_types.COMPUTE, HOST, 3, b"work"))
        assert is_accepted(host, frame_of(chip, message_types.PARTIAL, 3, HOST, b"sum"))
        state, ready = answered(chip, discovery(host, host.announcement()))
        assert state == STATE_READY and is_accepted(host, ready)


def test_a_node_takes_no_frame_that_it_has_sent_itself():
    host, chip = HostAuthenticator(KEY), ChipAuthenticator(KEY, 3)
    joined(host, chip)
    assert not is_accepted(host, frame_of(host, message_types.STATISTICS, HOST, HOST))
    assert not is_accepted(chip, frame_of(chip, message_types.CONTRIBUTION, 3, BROADCAST))


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


def test_a_proof_is_for_one_chip():
    host = HostAuthenticator(KEY)
    chip = ChipAuthenticator(KEY, 3)
    answered(chip, discovery(host, host.announcement()))
    assert answered(chip, discovery(host, host.proof(4, chip.nonce)))[0] == STATE_ASKS_PROOF
    assert answered(chip, discovery(host, host.proof(3, chip.nonce)))[0] == STATE_READY


def test_a_chip_that_restarts_makes_the_host_begin_a_new_session():
    host = HostAuthenticator(KEY)
    others = ChipAuthenticator(KEY, 4)
    joined(host, ChipAuthenticator(KEY, 3))
    joined(host, others, 4)
    work = frame_of(host, message_types.COMPUTE, HOST, 3)
    restarted = ChipAuthenticator(KEY, 3)
    state, ready = answered(restarted, discovery(host, host.announcement()))
    nonce = FederationMessage.decode(ready, host).payload[1:]
    assert "chip 3" in str(raises(ChipRestarted, host.proof, 3, nonce))
    host.renew()
    joined(host, restarted)
    joined(host, others, 4)
    assert not is_accepted(restarted, work)
    assert is_accepted(others, frame_of(host, message_types.COMPUTE, HOST, BROADCAST))
    assert is_accepted(host, frame_of(restarted, message_types.PARTIAL, 3, HOST))


def test_a_discovery_must_be_the_hosts_and_whole():
    host = HostAuthenticator(KEY)
    chip = ChipAuthenticator(KEY, 3)
    assert not is_accepted(
        chip, frame_of(host, message_types.DISCOVERY, 4, 3, host.announcement())
    )
    for length in range(16):
        buf = bytearray(MAX_FRAME)
        n = seal(buf, 3, message_types.DISCOVERY, HOST, 3, 1, length, host)
        assert not is_accepted(chip, buf[:n])
    long = host.announcement() + bytes(17)
    assert answered(chip, discovery(host, long))[0] == STATE_ASKS_PROOF


def test_nonces_differ():
    assert HostAuthenticator(KEY).announcement() != HostAuthenticator(KEY).announcement()
    host = HostAuthenticator(KEY)
    before = host.announcement()
    host.renew()
    assert host.announcement() != before
    chip = ChipAuthenticator(KEY, 3)
    assert len(chip.nonce) == 8
    before = chip.nonce
    joined(host, chip)
    assert chip.nonce != before
