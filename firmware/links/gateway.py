"""The gateway's link: it joins the radio to the host's serial line."""

from protocol.compat import const, micropython
from protocol.frame import BROADCAST, DST, HOST

# Answers of 20 chips in fragments; a station that never stops must not keep the host out.
RADIO_FRAMES_A_POLL = const(64)


class Gateway:
    """Chip 0's link: the host's serial line, and through it the host's way to the radio.

    Frames are relayed as they are; whoever they are for checks them. What this chip is sent comes
    from both sides, in turn where both have something.
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
        """Damaged frames skipped so far, and frames that the radio did not take."""
        return self._uart.dropped + self.radio.dropped

    @micropython.native
    def receive(self):
        """As a link's: a frame for this chip; frames for others are relayed on the way."""
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
        """Queues frames for the host until one comes for this chip: its length, or 0."""
        radio = self.radio
        for _ in range(RADIO_FRAMES_A_POLL):
            length = radio.receive()
            if length == 0:
                break
            # A foreign station may send longer frames than the buffers of the serial line hold.
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
        """Nothing: answers go to the host anyhow."""

    def broadcast(self, frame, length):
        """Sends frame[:length] to all stations."""
        self.radio.broadcast(frame, length)

    def send(self, frame, length):
        """Sends frame[:length] to the host."""
        self._uart.send(frame, length)

    answer = send
