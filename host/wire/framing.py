"""The framing of protocol/cobs.py for the host, which reads many chips: by a library in C."""

from __future__ import annotations

from cobs import cobs

from protocol.cobs import encoded_size
from protocol.frame import HEADER_SIZE, MAX_PAYLOAD, TRAILER_SIZE


def frame_room(version: int, mtu: int) -> int:
    """Returns the most bytes of payload in one frame of at most `mtu` bytes."""
    return min(MAX_PAYLOAD, mtu - HEADER_SIZE - TRAILER_SIZE[version])


def encode_frame(frame: bytes | bytearray) -> bytes:
    """Returns the bytes that put `frame` on the stream, the ending 0x00 included."""
    return bytes(cobs.encode(bytes(frame))) + b"\0"


def decode_frame(piece: bytes) -> bytes | None:
    """Returns the frame in the bytes between two 0x00, or None if they are damaged or empty."""
    try:
        return bytes(cobs.decode(piece)) or None
    except cobs.DecodeError:
        return None


class FrameSplitter:
    """Takes the frames out of the chunks of a byte stream; `dropped` counts damaged ones."""

    def __init__(self, capacity: int) -> None:
        """capacity: the longest frame in bytes; longer ones are dropped."""
        self.dropped = 0
        self._capacity = capacity
        self._rest = b""

    def frames(self, chunk: bytes) -> list[bytes]:
        """Returns the frames that this chunk finishes, as a list of bytes.

        What is kept for the next chunk is never much more than one frame.
        """
        pieces = (self._rest + chunk).split(b"\0")
        # One byte beyond the longest encoding suffices to know it for too long later.
        self._rest = pieces.pop()[: encoded_size(self._capacity) + 1]
        found = []
        for piece in pieces:
            if piece:
                frame = decode_frame(piece)
                if frame is None or len(frame) > self._capacity:
                    self.dropped += 1
                else:
                    found.append(frame)
        return found
