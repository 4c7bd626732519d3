"""Frames of versions 2 and 3: 8-byte header, payload, and the trailer that the version names.

| offset | field |
| --- | --- |
| 0 | version u8: 2 or 3 |
| 1 | type u8 |
| 2 | src u8: a chip 0 to 253, or the host 254 |
| 3 | dst u8: a chip, the host, or 255 for all |
| 4 | sequence u16, little-endian; an answer repeats that of its request |
| 6 | payload length u16, little-endian |
| 8 | payload: at most 2048 bytes; a message with more goes in fragments (protocol/fragment.py) |

Trailers: version 2, u32 CRC-32; version 3, u32 counter and 8 bytes of HMAC-SHA256
(protocol/auth.py). Version 1 is that of ruvllm-esp32, which chips refuse (protocol/frame_v1.py).

A chip builds and reads frames in place with `seal` and `verify_frame`. On the host there is also
`FederationMessage` (protocol/message.py), which calls them.
"""

from protocol.compat import const, micropython, ptr8
from protocol.frame_check import check_frame, put_crc32

HEADER_SIZE = const(8)
HOST = const(254)
BROADCAST = const(255)
MAX_CHIP_ID = const(253)

# Offsets into a frame.
VERSION = const(0)
TYPE = const(1)
SRC = const(2)
DST = const(3)
SEQUENCE = const(4)
LENGTH = const(6)

MAX_PAYLOAD = const(2048)
TRAILER_SIZE = {2: 4, 3: 12}
MAX_FRAME = const(8 + 2048 + 12)


class ProtocolError(Exception):
    """Received bytes violate the protocol. Decoders raise no other exception."""


def _fault(negated):
    """Returns the text of a negated fault of protocol/frame_faults.py."""
    from protocol.frame_faults import FAULTS

    return FAULTS[0 - negated]


@micropython.viper
def _written_header(
    buf: ptr8, version: int, kind: int, src: int, dst: int, sequence: int, length: int
) -> int:
    """Writes the eight header bytes; returns the version's trailer size, or a negated fault."""
    trailer = 4
    if version == 3:
        trailer = 12
    elif version != 2:
        return -1
    if src < 0 or src > 254:
        return -2
    if length >> 16:
        return -3
    if kind >> 8 | dst >> 8 | sequence >> 16:
        return -6
    buf[0] = version
    buf[1] = kind
    buf[2] = src
    buf[3] = dst
    buf[4] = sequence & 255
    buf[5] = sequence >> 8
    buf[6] = length & 255
    buf[7] = length >> 8
    return trailer


@micropython.native
def write_header(buf, version, kind, src, dst, sequence, length):
    """Writes a header at the start of buf and returns the size of its version's trailer.

    length: bytes of payload; up to 65535, for the message may go in fragments. Raises ValueError,
    naming what is wrong, for a version, id, sequence number or payload length that the protocol
    does not allow.
    """
    trailer = _written_header(buf, version, kind, src, dst, sequence, length)
    if trailer < 0:
        raise ValueError(
            "%s: version %d, type %d, source %d, destination %d, sequence %d, %d payload bytes"
            % (_fault(trailer), version, kind, src, dst, sequence, length)
        )
    return trailer


@micropython.native
def append_trailer(buf, length, signer=None):
    """Appends the trailer to the header and `length` bytes of payload in buf.

    Returns the length of the frame. To retransmit a frame, append its trailer again: in version 3
    it then gets a new counter. Raises ValueError for version 3 without a signer, and for another
    version with one.
    """
    end = HEADER_SIZE + length
    version = buf[VERSION]
    if (version == 3) != (signer is not None):
        raise ValueError("version 3 is sent with a signer, version 2 without")
    if version == 2:
        put_crc32(buf, end)
        return end + 4
    signer.sign(buf, end)
    return end + 12


def seal(buf, version, kind, src, dst, sequence, length, signer=None):
    """Makes a frame of the payload at buf[8 : 8 + length]; returns the frame's length.

    buf must have room for header, payload and trailer. signer: for version 3, and only for it, an
    object with `sign` and `verify` as protocol.auth.Signer has them. Raises ValueError as
    `write_header` and `append_trailer` do, and for more payload than one frame can have.
    """
    if length > MAX_PAYLOAD:
        raise ValueError(_fault(-3))
    write_header(buf, version, kind, src, dst, sequence, length)
    return append_trailer(buf, length, signer)


@micropython.native
def verify_frame(buf, n, signer=None):
    """Verifies the frame buf[:n] and returns the length of its payload.

    The fields are at the offsets TYPE, SRC, DST and SEQUENCE, the payload at HEADER_SIZE. With a
    signer only version 3 is accepted, without one only version 2. Raises ProtocolError for
    anything but an intact frame.
    """
    length = check_frame(buf, n)
    if length < 0:
        raise ProtocolError(_fault(length))
    if signer is not None:
        if buf[VERSION] != 3:
            raise ProtocolError("frame is not signed")
        signer.verify(buf, n)
    elif buf[VERSION] != 2:
        raise ProtocolError("frame is signed and there is no key")
    return length


def sequence_after(sequence):
    """Returns the next sequence number; they wrap at 65536."""
    return (sequence + 1) & 0xFFFF
