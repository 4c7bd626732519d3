"""The session handshake between keyed nodes, and what an attacker may try on it."""

from host.wire.session import ChipRestarted, HostAuthenticator
from protocol import message_types
from protocol.auth import Hmac, Signer
from protocol.frame import BROADCAST, HOST, MAX_FRAME, ProtocolError, seal
from protocol.message import FederationMessage
from protocol.messages import STATE_ASKS_PROOF, STATE_READY
from protocol.session import ChipAuthenticator
from tests.dual import raises
from tests.protocol.handshakes import KEY, answered, discovery, frame_of, is_accepted, joined


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
