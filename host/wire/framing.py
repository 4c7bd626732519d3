"""The framing of protocol/cobs.py in bytes operations, for a host that reads many chips.

CPython takes a microsecond for what its loops over single bytes take twenty for; on a chip,
where allocating counts, it is the other way round. What both write and read is the same.
"""

from protocol.cobs import encoded_size

_MAX_RUN = 254  # bytes in a COBS block after its code byte


def encode_frame(frame: "bytes | bytearray") -> bytes:
    """The bytes that put `frame` on the stream, the ending 0x00 included."""
    parts = []
    for run in bytes(frame).split(b"\0"):
        while len(run) >= _MAX_RUN:
            parts.append(b"\xff" + run[:_MAX_RUN])
            run = run[_MAX_RUN:]
        parts.append(bytes([len(run) + 1]) + run)
    if parts[-1] == b"\1" and len(frame) and frame[-1]:
        parts.pop()  # a full block at the very end is followed by no other
    return b"".join(parts) + b"\0"


def decode_frame(piece: bytes) -> "bytes | None":
    """The frame in the bytes between two 0x00, or None if they are damaged or empty."""
    parts = []
    begin = 0
    while begin < len(piece):
        end = begin + piece[begin]
        if end > len(piece):
            return None
        parts.append(piece[begin + 1 : end])
        if piece[begin] <= _MAX_RUN and end < len(piece):
            parts.append(b"\0")
        begin = end
    return b"".join(parts) or None


class FrameSplitter:
    """Takes the frames out of the chunks of a byte stream; `dropped` counts damaged ones."""

    def __init__(self, capacity: int) -> None:
        """capacity: the longest frame in bytes; longer ones are dropped."""
        self.dropped = 0
        self._capacity = capacity
        self._rest = b""

    def frames(self, chunk: bytes) -> list[bytes]:
        """The frames that this chunk finishes, as a list of bytes.

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
