"""The framing of protocol/cobs.py for the host: by a library in C, because it reads many chips."""

from __future__ import annotations

from cobs import cobs

from protocol.cobs import encoded_size
from protocol.frame import HEADER_SIZE, MAX_PAYLOAD, TRAILER_SIZE


def frame_room(version: int, mtu: int) -> int:
    """Returns the most bytes of payload in one frame of at most `mtu` bytes."""
    return min(MAX_PAYLOAD, mtu - HEADER_SIZE - TRAILER_SIZE[version])


def encode_frame(frame: bytes | bytearray) -> bytes:
    """Returns the bytes of `frame` on the stream, including the final 0x00."""
    return bytes(cobs.encode(bytes(frame))) + b"\0"


def decode_frame(piece: bytes) -> bytes | None:
    """Returns the frame in the bytes between two 0x00, or None if they are damaged or empty."""
    try:
        return bytes(cobs.decode(piece)) or None
    except cobs.DecodeError:
        return None


class FrameSplitter:
    """Extracts the frames from the chunks of a byte stream; `dropped` counts damaged ones."""

    def __init__(self, capacity: int) -> None:
        """capacity: the longest frame in bytes; longer ones are dropped."""
        self.dropped = 0
        self._capacity = capacity
        self._rest = b""

    def frames(self, chunk: bytes) -> list[bytes]:
        """Returns the frames that this chunk completes.

        It keeps hardly more than one frame for the next chunk.
        """
        pieces = (self._rest + chunk).split(b"\0")
        # One byte more than the longest encoding is enough to recognize too long a frame later.
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
