"""The serial link: COBS frames over a UART."""

from array import array

from protocol.cobs import decode, encode, encoded_size
from protocol.compat import const, micropython
from protocol.frame import MAX_FRAME

# One read takes at most what the REPL port's ring holds on an ESP32.
_READ_SIZE = const(256)


class UartLink:
    """Frames to and from whoever is at the other end of `uart` (the host).

    A frame that is damaged (a 0x00 within a block) or too long is skipped and counted in
    `dropped`; reading goes on after the next 0x00. Empty frames are silence: extra 0x00 bytes may
    be sent to flush noise.
    """

    mtu = MAX_FRAME

    def __init__(self, uart, receives, sends, queued=1):
        """uart: a machine.UART with timeout 0, or anything with its readinto and write.
        receives, sends: the longest frames in bytes, to and from this chip; queued: how many
        frames are written at once."""
        self.dropped = 0
        self.report = None  # called when a frame was malformed, where it is a function
        self.uart = uart
        self.frame = bytearray(receives)
        # Looked up once, and together: on the hot path every look-up counts.
        state = array("i", [0] * 4)
        self._reading = uart.readinto, bytearray(_READ_SIZE), self.frame, state, receives
        self._unread = 0  # bytes of the last read, as long as not all of them are decoded
        self._write = uart.write
        self._sends = sends
        self._encoded = bytearray(queued * encoded_size(sends))
        self._queued = 0  # bytes in it

    @micropython.native
    def receive(self):
        """The length of a frame that came in, now in `frame`, or 0. Does not wait."""
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
        """Sends frame[:length] with the next that is sent, or when there is no more room. One that
        is longer than all of it is dropped: encoding does not look where the buffer ends."""
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
        """Sends what is queued."""
        if self._queued:
            self._write(self._encoded, self._queued)
            self._queued = 0

    @micropython.native
    def send(self, frame, length):
        """Sends frame[:length], after what is queued."""
        if self._queued or length > self._sends:
            self.queue(frame, length)
            self.flush()
        else:
            buffer = self._encoded
            self._write(buffer, encode(frame, buffer, length, 0))

    # The host passes on what is for other chips.
    broadcast = answer = send

    def keep_sender(self):
        """Nothing: all frames come from the host's end."""
