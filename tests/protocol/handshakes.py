"""Handshakes of the host with a chip, frame by frame."""

from protocol import message_types
from protocol.frame import BROADCAST, HOST, ProtocolError, verify_frame
from protocol.message import FederationMessage
from protocol.messages import STATE_ASKS_PROOF, STATE_READY

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
