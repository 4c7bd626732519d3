"""The gateway's link: it connects the radio to the host's serial line."""

from protocol.compat import const, micropython
from protocol.frame import BROADCAST, DST, HOST

# Enough for fragmented answers of 20 chips; a station that never stops must not block the host.
RADIO_FRAMES_A_POLL = const(64)


class Gateway:
    """Chip 0's link: it relays frames between the host's serial line and the radio.

    Frames are relayed unchanged and unverified: their receiver verifies them. Frames for this chip
    come from both sides, in turn if both have some.
    """

    def __init__(self, chip_id, uart, radio):
        self.mtu = radio.mtu
        self._chip_id = chip_id
        self._uart = uart
        self.radio = radio
        self._radio_first = False
        self.frame = uart.frame

    @property
    def dropped(self):
        """The number of damaged frames skipped, and of frames that the radio refused."""
        return self._uart.dropped + self.radio.dropped

    @micropython.native
    def receive(self):
        """Puts a received frame for this chip into `frame` and returns its length, or 0.

        Relays frames for others. Does not wait.
        """
        self._radio_first = not self._radio_first
        if self._radio_first:
            return self._from_radio() or self._from_host()
        return self._from_host() or self._from_radio()

    def _from_radio(self):
        length = self._relay_to_host()
        self._uart.flush()
        return length

    @micropython.native
    def _relay_to_host(self):
        """Queues frames for the host until one comes for this chip; returns its length, or 0."""
        radio = self.radio
        for _ in range(RADIO_FRAMES_A_POLL):
            length = radio.receive()
            if length == 0:
                break
            # A foreign station may send frames longer than the serial line's buffers.
            if DST < length <= self.mtu:
                self.frame = frame = radio.frame
                if frame[DST] == self._chip_id or frame[DST] == BROADCAST:
                    return length
                if frame[DST] == HOST:
                    self._uart.queue(frame, length)
        return 0

    @micropython.native
    def _from_host(self):
        uart = self._uart
        self.frame = frame = uart.frame
        length = uart.receive()
        while length:
            if length <= DST or frame[DST] == self._chip_id:
                return length
            if length <= self.mtu:
                self.radio.broadcast(frame, length)
            if frame[DST] == BROADCAST:
                return length
            length = uart.receive()
        return 0

    def keep_sender(self):
        """Does nothing: answers go to the host in any case."""

    def broadcast(self, frame, length):
        """Sends frame[:length] to all stations."""
        self.radio.broadcast(frame, length)

    def send(self, frame, length):
        """Sends frame[:length] to the host."""
        self._uart.send(frame, length)

    answer = send
