"""Frames of version 1, as ruvllm-esp32 sends them: their trailer is a u8, the sum of all bytes.

Header and offsets are those of protocol/frame.py; the payload has at most 512 bytes. Our chips
neither take nor send such frames, and this module is not among the files put on a chip.
"""

from protocol.fields import put_u16, u16
from protocol.frame import (
    BROADCAST,
    DST,
    HEADER_SIZE,
    HOST,
    LENGTH,
    SEQUENCE,
    SRC,
    TYPE,
    VERSION,
    ProtocolError,
)

VERSION_1 = 1
MAX_PAYLOAD_V1 = 512


def encode_frame_v1(kind, src, dst, sequence, payload):
    """Returns the frame as bytes; raises ValueError for fields that the protocol forbids."""
    if not 0 <= src <= HOST:
        raise ValueError("source is not a chip (0 to 253) or the host (254): %d" % src)
    if len(payload) > MAX_PAYLOAD_V1:
        raise ValueError("payload is longer than 512 bytes: %d" % len(payload))
    if not (0 <= kind <= 0xFF and 0 <= dst <= BROADCAST and 0 <= sequence <= 0xFFFF):
        raise ValueError(
            "destination or type is not 0 to 255, or sequence not 0 to 65535: %d, %d, %d"
            % (dst, kind, sequence)
        )
    frame = bytearray(HEADER_SIZE)
    frame[VERSION], frame[TYPE], frame[SRC], frame[DST] = VERSION_1, kind, src, dst
    put_u16(frame, SEQUENCE, sequence)
    put_u16(frame, LENGTH, len(payload))
    frame += payload
    return bytes(frame) + bytes([sum(frame) & 0xFF])


def verify_frame_v1(frame):
    """Verifies a frame, and returns its payload's length; raises ProtocolError if malformed."""
    if len(frame) < HEADER_SIZE + 1:
        raise ProtocolError("frame is shorter than a header and trailer")
    length = u16(frame, LENGTH)
    if frame[VERSION] != VERSION_1:
        raise ProtocolError("version is not 1")
    if length > MAX_PAYLOAD_V1:
        raise ProtocolError("payload is longer than 512 bytes")
    if len(frame) != HEADER_SIZE + length + 1:
        raise ProtocolError("frame length is not that of header, payload and trailer")
    if frame[SRC] > HOST:
        raise ProtocolError("source is not a chip (0 to 253) or the host (254)")
    if sum(frame[: HEADER_SIZE + length]) & 0xFF != frame[HEADER_SIZE + length]:
        raise ProtocolError("byte sum is wrong")
    return length
