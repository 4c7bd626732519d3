"""A serial line that loses and damages frames, around any pyserial port.

A frame is what ends with a zero byte, as in COBS. In both directions the line drops a whole frame,
or changes one to three of its bytes, each with its own probability, or passes it on. (A byte that
becomes zero splits the frame, as on a real line.) A serial line neither reorders nor duplicates.
"""

import time
from random import Random
from typing import Any

from host.simulation.radio import Impairments, corrupted

LONGEST_FRAME = 8192  # more bytes than this without a zero are no frame, and pass untouched


class LossyStream:
    """One direction of a lossy line."""

    def __init__(self, chance: Random, loss: float, corrupt: float) -> None:
        self._chance = chance
        self._impairments = Impairments(loss=loss, corrupt=corrupt)
        self._partial = bytearray()
        self.lost = 0
        self.damaged = 0

    def passed(self, data: bytes) -> bytes:
        """Returns the bytes that get through of the frames that `data` completes."""
        *frames, rest = (bytes(self._partial) + data).split(b"\0")
        through = b"".join(self._fate(frame + b"\0") for frame in frames)
        self._partial = bytearray(rest)
        if len(rest) > LONGEST_FRAME:
            through += rest
            self._partial.clear()
        return through

    def reset(self) -> None:
        """Forgets the beginning of a frame."""
        self._partial.clear()

    def _fate(self, frame: bytes) -> bytes:
        if frame == b"\0":
            return frame
        if self._chance.random() < self._impairments.loss:
            self.lost += 1
            return b""
        if self._chance.random() < self._impairments.corrupt:
            self.damaged += 1
            return corrupted(frame[:-1], self._chance) + b"\0"
        return frame


class LossyPort:
    """A pyserial port whose line is lossy; all other attributes are the port's own.

    `write` keeps the beginning of a frame until its end is written, `read` until its end has
    arrived. So after `select` on `fileno()` read everything: bytes kept back here do not make the
    descriptor readable again. Raises ValueError for a probability out of range.
    """

    def __init__(self, port: Any, *, seed: int, loss: float = 0.0, corrupt: float = 0.0) -> None:
        self._port = port
        self._ready = bytearray()
        self._incoming = LossyStream(Random(f"{seed}/in"), loss, corrupt)
        self._outgoing = LossyStream(Random(f"{seed}/out"), loss, corrupt)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def __enter__(self) -> "LossyPort":
        return self

    def __exit__(self, *_: Any) -> None:
        self._port.close()

    @property
    def frames_lost(self) -> int:
        """Frames dropped in both directions."""
        return self._incoming.lost + self._outgoing.lost

    @property
    def frames_damaged(self) -> int:
        """Frames changed in both directions."""
        return self._incoming.damaged + self._outgoing.damaged

    @property
    def timeout(self) -> float | None:
        """The port's timeout for reading, in seconds."""
        value: float | None = self._port.timeout
        return value

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self._port.timeout = seconds

    @property
    def in_waiting(self) -> int:
        """The number of bytes of whole frames that have arrived."""
        self._take_in(self._port.in_waiting)
        return len(self._ready)

    def read(self, size: int = 1) -> bytes:
        """Returns up to `size` bytes of whole frames, fewer after the port's timeout."""
        timeout = self._port.timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        self._take_in(self._port.in_waiting)
        while len(self._ready) < size:
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._port.timeout = left
            try:
                self._take_in(1)
            finally:
                self._port.timeout = timeout
            self._take_in(self._port.in_waiting)
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data

    def write(self, data: bytes) -> int:
        """Writes data, but keeps the bytes of an unfinished frame; returns the number of bytes."""
        through = self._outgoing.passed(bytes(data))
        if through:
            self._port.write(through)
        return len(data)

    def reset_input_buffer(self) -> None:
        """Forgets all bytes that have arrived."""
        self._ready.clear()
        self._incoming.reset()
        self._port.reset_input_buffer()

    def reset_output_buffer(self) -> None:
        """Forgets all bytes that have not been sent."""
        self._outgoing.reset()
        self._port.reset_output_buffer()

    def _take_in(self, count: int) -> None:
        if count:
            self._ready += self._incoming.passed(self._port.read(count))
