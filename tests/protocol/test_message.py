"""Frames of versions 2 and 3, and messages of all: vectors, round trips, what is refused."""

from binascii import hexlify, unhexlify

from protocol import message_types
from protocol.auth import Signer
from protocol.frame import (
    BROADCAST,
    HEADER_SIZE,
    HOST,
    MAX_CHIP_ID,
    MAX_FRAME,
    MAX_PAYLOAD,
    TRAILER_SIZE,
    ProtocolError,
    append_trailer,
    seal,
    sequence_after,
    verify_frame,
    write_header,
)
from protocol.message import FederationMessage, type_name
from tests.dual import raises
from tests.protocol.noise import flipped, random_bytes

KEY = b"a session key of thirty-two byte"

VECTORS = (
    (
        FederationMessage(message_types.ACTIVATION, 0, 1, 1, b"\0\x0a\0\1\2\3\4\5\6\7\x08", 1),
        "0110000101000b00000a0001020304050607084c",
    ),
    (FederationMessage(message_types.TOKEN, 4, 0, 100, b"\x39\x30", 1), "01230400640002003930f7"),
    (
        FederationMessage(message_types.BARRIER, 2, BROADCAST, 0, b"\7\0", 1),
        "014002ff0000020007004b",
    ),
    (
        FederationMessage(
            message_types.ACTIVATION, 0, BROADCAST, 513, b"\3\xc8\1\xff\x7f\0\x80", 2
        ),
        "021000ff0102070003c801ff7f00800398c713",
    ),
)


def signers(version):
    """A sender's and a receiver's signer for the version; None where it has none."""
    return (Signer(KEY), Signer(KEY)) if version == 3 else (None, None)


def sealed(version, payload, signer=None, sequence=7):
    buf = bytearray(MAX_FRAME)
    buf[HEADER_SIZE : HEADER_SIZE + len(payload)] = payload
    n = seal(buf, version, message_types.COMPUTE, HOST, 5, sequence, len(payload), signer)
    return bytearray(memoryview(buf)[:n])


def test_vectors():
    for message, vector in VECTORS:
        assert hexlify(message.encode()).decode() == vector
        assert FederationMessage.decode(unhexlify(vector)) == message


def test_every_payload_size_round_trips_in_every_version():
    for version in (2, 3):
        sender, receiver = signers(version)
        data = random_bytes(MAX_PAYLOAD)
        buf = bytearray(MAX_FRAME)
        buf[HEADER_SIZE : HEADER_SIZE + len(data)] = data
        for length in range(MAX_PAYLOAD, -1, -1):
            n = seal(buf, version, 0x14, HOST, 3, length, length, sender)
            assert n == HEADER_SIZE + length + TRAILER_SIZE[version]
            assert verify_frame(buf, n, receiver) == length
            assert memoryview(buf)[8 : 8 + length] == memoryview(data)[:length]
            buf[8 : 8 + len(data)] = data  # the trailer stood on what was payload before


def test_message_round_trips_with_every_field_at_its_ends():
    sender, receiver = signers(3)
    for version in (1, 2, 3):
        for kind in (0, 255):
            for src in (0, MAX_CHIP_ID, HOST):
                for dst in (0, MAX_CHIP_ID, HOST, BROADCAST):
                    for sequence in (0, 65535):
                        message = FederationMessage(kind, src, dst, sequence, b"xyz", version)
                        data = message.encode(sender if version == 3 else None)
                        again = FederationMessage.decode(data, receiver if version == 3 else None)
                        assert again == message
                        assert again.sequence == sequence and again.payload == b"xyz"


def test_messages_compare_by_every_field():
    fields = (0x14, 1, 2, 3, b"four", 2)
    message = FederationMessage(*fields)
    for i, other in enumerate((0x13, 2, 3, 4, b"five", 1)):
        changed = list(fields)
        changed[i] = other
        assert FederationMessage(*changed) != message
    assert message == FederationMessage(*fields)
    assert hash(message) == hash(FederationMessage(*fields))
    assert message != "message"
    assert "COMPUTE, src=1, dst=2, sequence=3" in repr(message)


def test_every_flipped_bit_is_detected():
    for version in (2, 3):
        sender, receiver = signers(version)
        frame = sealed(version, random_bytes(40), sender)
        for bit in range(8 * len(frame)):
            raises(ProtocolError, verify_frame, flipped(frame, bit), len(frame), receiver)
        assert verify_frame(frame, len(frame), receiver) == 40


def test_every_cut_or_lengthened_frame_is_refused():
    for version in (2, 3):
        sender, receiver = signers(version)
        frame = sealed(version, random_bytes(16), sender)
        for n in range(len(frame)):
            raises(ProtocolError, verify_frame, frame, n, receiver)
        raises(ProtocolError, verify_frame, frame + b"\0", len(frame) + 1, receiver)


def test_a_frame_says_why_it_is_refused():
    def reason(frame, signer=None):
        return str(raises(ProtocolError, verify_frame, frame, len(frame), signer))

    good = sealed(2, b"abc")
    assert "version" in reason(b"\4" + good[1:])
    assert "version" in reason(b"\0" + good[1:])
    assert "version" in reason(b"\1" + good[1:])
    assert "source" in reason(good[:2] + b"\xff" + good[3:])
    assert "longer than 2048" in reason(good[:6] + b"\1\x08" + good[8:])
    assert "shorter" in reason(good[:8])
    assert "CRC-32" in reason(good[:-1] + b"\0")
    signer = Signer(KEY)
    signed = sealed(3, b"abc", signer)
    assert "no key" in reason(signed)
    assert "not signed" in reason(good, signer)


def test_what_may_not_be_sent_is_refused_and_named():
    def reason(version, kind, src, dst, sequence, length):
        header = bytearray(HEADER_SIZE)
        return str(
            raises(ValueError, write_header, header, version, kind, src, dst, sequence, length)
        )

    for version in (0, 1, 4, -1):
        assert "version" in reason(version, 1, 1, 1, 1, 1)
    for src in (-1, 255, 256):
        assert "source" in reason(2, 1, src, 1, 1, 1)
    for dst in (-1, 256, 70000):
        assert "destination" in reason(2, 1, 1, dst, 1, 1)
    for kind in (-1, 256):
        assert "type" in reason(2, kind, 1, 1, 1, 1)
    for sequence in (-1, 65536):
        assert "sequence" in reason(2, 1, 1, 1, sequence, 1)
    for version, length in ((2, 65536), (3, 65536), (2, -1)):
        assert "payload" in reason(version, 1, 1, 1, 1, length)
    for version, signer in ((2, None), (3, Signer(KEY))):
        fields = bytearray(2100), version, 1, 1, 1, 1, 2049, signer
        assert "payload" in str(raises(ValueError, seal, *fields))
    assert "payload" in str(raises(ValueError, FederationMessage, 1, 1, 1, 1, bytes(2049)))


def test_only_version_3_takes_a_signer():
    buf = bytearray(64)
    raises(ValueError, seal, buf, 2, 1, 1, 1, 1, 4, Signer(KEY))
    raises(ValueError, FederationMessage(1, 1, 1, 1, b"", 1).encode, Signer(KEY))
    raises(ValueError, seal, buf, 3, 1, 1, 1, 1, 4)
    raises(ValueError, FederationMessage(1, 1, 1, 1, b"", 3).encode)


def test_a_trailer_appended_again_is_the_same_or_signed_anew():
    frame = sealed(2, b"again")
    copy = bytearray(frame)
    assert append_trailer(frame, 5) == len(copy)
    assert frame == copy
    sender, receiver = signers(3)
    frame = sealed(3, b"again", sender)
    first = bytes(frame)
    n = append_trailer(frame, 5, sender)
    assert bytes(frame) != first
    assert verify_frame(frame, n, receiver) == 5
    assert verify_frame(first, n, receiver) == 5


def test_type_names():
    assert type_name(0x14) == "COMPUTE"
    assert type_name(0xFF) == "ERROR"
    assert type_name(0x99) == "0x99"


def test_sequence_numbers_wrap():
    assert sequence_after(0) == 1
    assert sequence_after(65535) == 0
