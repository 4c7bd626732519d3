"""The serial link: COBS frames over a UART."""

from array import array

from protocol.cobs import decode, encode, encoded_size
from protocol.compat import const, micropython
from protocol.frame import MAX_FRAME

# Bytes of one read, at most: what the REPL port's ring buffer holds on an ESP32.
_READ_SIZE = const(256)


class UartLink:
    """Sends and receives frames over a UART; at its other end is the host.

    A frame that is damaged (a 0x00 within a block) or too long is skipped and counted in
    `dropped`; reading goes on after the next 0x00. Empty frames are ignored, so extra 0x00 bytes
    may be sent to flush noise.
    """

    mtu = MAX_FRAME

    def __init__(self, uart, receives, sends, queued=1):
        """uart: a machine.UART with timeout 0, or an object with its readinto and write; receives,
        sends: bytes of the longest frame to and from this chip; queued: how many frames `queue`
        has room for."""
        self.dropped = 0
        self.report = None  # or a function to call when a frame was malformed
        self.uart = uart
        self.frame = bytearray(receives)
        # In one tuple: on the hot path every attribute look-up counts.
        state = array("i", [0] * 4)
        self._reading = uart.readinto, bytearray(_READ_SIZE), self.frame, state, receives
        self._unread = 0  # bytes of the last read, until all of them are decoded
        self._write = uart.write
        self._sends = sends
        self._encoded = bytearray(queued * encoded_size(sends))
        self._queued = 0  # bytes in it

    @micropython.native
    def receive(self):
        """Puts a received frame into `frame` and returns its length, or 0. Does not wait."""
        readinto, data, frame, state, longest = self._reading
        count = self._unread
        while True:
            while count:
                length = decode(data, frame, state, count, longest)
                if length > 0:
                    self._unread = count if state[0] < count else 0
                    return length
                if length == 0:
                    break
                self.dropped += 1
                if self.report:
                    self.report()
            self._unread = 0
            count = readinto(data)
            if not count:
                return 0
            state[0] = 0

    @micropython.native
    def queue(self, frame, length):
        """Sends frame[:length] together with the next frame sent, or when the buffer is full.

        A frame that is too long for the buffer is dropped: encoding checks no bounds.
        """
        at, buffer = self._queued, self._encoded
        left = len(buffer) - encoded_size(length)
        if at > left:
            self.flush()
            at = 0
            if left < 0:
                self.dropped += 1
                return
        self._queued = at + encode(frame, buffer, length, at)

    def flush(self):
        """Sends the queued frames."""
        if self._queued:
            self._write(self._encoded, self._queued)
            self._queued = 0

    @micropython.native
    def send(self, frame, length):
        """Sends frame[:length] after the queued frames."""
        if self._queued or length > self._sends:
            self.queue(frame, length)
            self.flush()
        else:
            buffer = self._encoded
            self._write(buffer, encode(frame, buffer, length, 0))

    # The host passes on frames for other chips.
    broadcast = answer = send

    def keep_sender(self):
        """Does nothing: all frames come from the host's end."""
