"""FederationMessage: one message as an object, for where convenience matters more than allocation.

protocol/frame.py has the format, and the functions that a chip uses instead. Messages of version 1
interoperate with ruvllm-esp32.
"""

from protocol import message_types
from protocol.fields import u16
from protocol.frame import (
    DST,
    HEADER_SIZE,
    MAX_PAYLOAD,
    SEQUENCE,
    SRC,
    TRAILER_SIZE,
    TYPE,
    VERSION,
    seal,
    verify_frame,
    write_header,
)
from protocol.frame_v1 import VERSION_1, encode_frame_v1, verify_frame_v1


def type_name(kind):
    """Returns the name of a message type, or its number in hexadecimal if it has none."""
    for name in dir(message_types):
        if name.isupper() and getattr(message_types, name) == kind:
            return name
    return "0x%02x" % kind


class FederationMessage:
    """One message of the protocol.

    kind (the message type), src, dst, sequence and version are integers as in the header; payload
    is bytes.
    """

    def __init__(self, kind, src, dst, sequence, payload=b"", version=2):
        """Raises ValueError, naming what is wrong, for fields that the protocol does not allow."""
        if version == VERSION_1:
            encode_frame_v1(kind, src, dst, sequence, payload)
        else:
            write_header(bytearray(HEADER_SIZE), version, kind, src, dst, sequence, len(payload))
            if len(payload) > MAX_PAYLOAD:
                raise ValueError("payload is longer than %d bytes" % MAX_PAYLOAD)
        self.kind = kind
        self.src = src
        self.dst = dst
        self.sequence = sequence
        self.payload = bytes(payload)
        self.version = version

    def encode(self, signer=None):
        """Returns the frame as bytes. Raises ValueError for version 3 without a signer, and for
        another version with one."""
        if self.version == VERSION_1:
            if signer:
                raise ValueError("version 3 is sent with a signer, versions 1 and 2 without")
            return encode_frame_v1(self.kind, self.src, self.dst, self.sequence, self.payload)
        length = len(self.payload)
        buf = bytearray(HEADER_SIZE + length + TRAILER_SIZE[self.version])
        buf[HEADER_SIZE : HEADER_SIZE + length] = self.payload
        seal(
            buf,
            self.version,
            self.kind,
            self.src,
            self.dst,
            self.sequence,
            length,
            signer,
        )
        return bytes(buf)

    @classmethod
    def decode(cls, data, signer=None):
        """Returns the message in the frame `data`; raises ProtocolError unless it is intact."""
        if data and data[VERSION] == VERSION_1 and not signer:
            length = verify_frame_v1(data)
        else:
            length = verify_frame(data, len(data), signer)
        payload = data[HEADER_SIZE : HEADER_SIZE + length]
        return cls(data[TYPE], data[SRC], data[DST], u16(data, SEQUENCE), payload, data[VERSION])

    def _fields(self):
        return (self.kind, self.src, self.dst, self.sequence, self.payload, self.version)

    def __eq__(self, other):
        return isinstance(other, FederationMessage) and self._fields() == other._fields()

    def __hash__(self):
        return hash(self._fields())

    def __repr__(self):
        return "FederationMessage(%s, src=%d, dst=%d, sequence=%d, payload=%r, version=%d)" % (
            (type_name(self.kind),) + self._fields()[1:]
        )
