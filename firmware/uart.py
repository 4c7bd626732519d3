"""The serial link: COBS frames over a UART."""

from protocol.compat import const
from protocol.frame import MAX_FRAME
from protocol.framing import FrameReader, encoded, encoded_size

# One read takes at most what the REPL port's ring holds on an ESP32.
_READ_SIZE = const(256)


class UartLink:
    """Frames to and from whoever is at the other end of `uart` (the host)."""

    mtu = MAX_FRAME

    def __init__(self, uart, receives, sends, queued=1):
        """uart: a machine.UART with timeout 0, or anything with its readinto and write.
        receives, sends: the longest frames in bytes, to and from this chip; queued: how many
        frames are written at once."""
        self._uart = uart
        self._received = bytearray(_READ_SIZE)
        self._reader = FrameReader(receives)
        self._encoded = bytearray(queued * encoded_size(sends))
        self._queued = 0  # bytes in it
        self.frame = self._reader.frame

    @property
    def dropped(self):
        """Damaged frames skipped so far."""
        return self._reader.dropped

    def receive(self):
        """The length of a frame that came in, now in `frame`, or 0. Does not wait."""
        reader = self._reader
        while True:
            if reader.is_fed:
                length = reader.next()
                if length:
                    return length
            count = self._uart.readinto(self._received)
            if not count:
                return 0
            reader.feed(self._received, count)

    def queue(self, frame, length):
        """Sends frame[:length] with the next that is sent, or when there is no more room. One that
        is longer than all of it is dropped: encoding does not look where the buffer ends."""
        if self._queued + encoded_size(length) > len(self._encoded):
            self.flush()
            if encoded_size(length) > len(self._encoded):
                self._reader.dropped += 1
                return
        self._queued += encoded(frame, self._encoded, length, self._queued)

    def flush(self):
        """Sends what is queued."""
        if self._queued:
            self._uart.write(self._encoded, self._queued)
            self._queued = 0

    def send(self, frame, length):
        """Sends frame[:length], after what is queued."""
        self.queue(frame, length)
        self.flush()

    # The host passes on what is for other chips.
    broadcast = send

    def keep_sender(self):
        """Nothing: all frames come from the host's end."""
