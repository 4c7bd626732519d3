"""Takes frames out of chunks of a byte stream, as firmware/links/uart.py does."""

from array import array

from protocol.cobs import decode


class FrameReader:
    """After each `feed`, call `next` until it returns 0."""

    def __init__(self, capacity):
        """capacity: the longest frame in bytes."""
        self.frame = bytearray(capacity)
        self.dropped = 0
        self._capacity = capacity
        self._data = b""
        self._n = 0
        self._state = array("i", [0, 0, 0, 0])

    def feed(self, data, n):
        """Hands over the first n bytes of `data`."""
        self._state[0] = 0
        self._data = data
        self._n = n

    def next(self):
        """The length of the next whole frame, which is in `frame` until the next call, or 0."""
        while True:
            length = decode(self._data, self.frame, self._state, self._n, self._capacity)
            if length >= 0:
                return length
            self.dropped += 1
