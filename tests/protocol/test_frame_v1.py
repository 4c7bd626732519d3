"""Frames of version 1, of ruvllm-esp32: round trips, what is refused."""

from protocol.auth import Signer
from protocol.frame import BROADCAST, HEADER_SIZE, HOST, ProtocolError, verify_frame
from protocol.frame_v1 import MAX_PAYLOAD_V1, encode_frame_v1, verify_frame_v1
from protocol.message import FederationMessage
from tests.dual import raises
from tests.protocol.noise import random_bytes


def test_every_payload_size_round_trips():
    data = random_bytes(MAX_PAYLOAD_V1)
    for length in range(MAX_PAYLOAD_V1 + 1):
        frame = encode_frame_v1(0x14, HOST, 3, length, data[:length])
        assert len(frame) == HEADER_SIZE + length + 1
        assert verify_frame_v1(frame) == length
        assert frame[HEADER_SIZE:-1] == data[:length]


def test_every_changed_byte_is_detected():
    frame = encode_frame_v1(0x14, HOST, 5, 7, random_bytes(20))
    for i in range(len(frame)):
        for change in (1, 0x80, 0xFF):
            damaged = bytearray(frame)
            damaged[i] ^= change
            raises(ProtocolError, verify_frame_v1, damaged)


def test_every_cut_or_lengthened_frame_is_refused():
    frame = encode_frame_v1(0x14, HOST, 5, 7, random_bytes(16))
    for n in range(len(frame)):
        raises(ProtocolError, verify_frame_v1, frame[:n])
    raises(ProtocolError, verify_frame_v1, frame + b"\0")


def test_a_frame_says_why_it_is_refused():
    def reason(frame):
        return str(raises(ProtocolError, verify_frame_v1, frame))

    good = encode_frame_v1(0x14, HOST, 5, 7, b"abc")
    assert "version" in reason(b"\2" + good[1:])
    assert "source" in reason(good[:2] + b"\xff" + good[3:])
    assert "longer than 512" in reason(good[:6] + b"\1\2" + good[8:])
    assert "shorter" in reason(good[:8])
    assert "sum" in reason(good[:-1] + b"\0")


def test_what_may_not_be_sent_is_refused_and_named():
    for fields, text in (
        ((1, -1, 1, 1, b""), "source"),
        ((1, BROADCAST, 1, 1, b""), "source"),
        ((1, 1, 256, 1, b""), "destination"),
        ((256, 1, 1, 1, b""), "type"),
        ((1, 1, 1, 65536, b""), "sequence"),
        ((1, 1, 1, 1, bytes(513)), "payload"),
    ):
        assert text in str(raises(ValueError, encode_frame_v1, *fields))
        assert text in str(raises(ValueError, FederationMessage, *(fields + (1,))))


def test_a_chip_takes_none_and_a_key_neither():
    frame = FederationMessage(0x14, HOST, 5, 7, b"abc", 1).encode()
    assert "version" in str(raises(ProtocolError, verify_frame, frame, len(frame)))
    signer = Signer(b"a session key of thirty-two byte")
    raises(ProtocolError, verify_frame, frame, len(frame), signer)
    raises(ProtocolError, FederationMessage.decode, frame, signer)
