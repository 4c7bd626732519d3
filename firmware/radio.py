"""The radio link: frames over ESP-NOW, and the gateway that joins it to the host's serial line.

Facts of espnow that shape this: a broadcast is not acknowledged; send() returning True means
that a radio has it, not that the program does; packets beyond `rxbuf` are lost although they
were acknowledged, so rxbuf holds an answer of every chip; irecv reuses its buffers.
"""

from protocol.compat import const, micropython
from protocol.frame import BROADCAST, DST, HOST

# Answers of 20 chips in fragments; a station that never stops must not keep the host out.
_RADIO_FRAMES_A_TURN = const(64)
_EVERYBODY = b"\xff\xff\xff\xff\xff\xff"


class RadioLink:
    """Frames between chips; a chip's answers go to the station that its last frame came from."""

    def __init__(self, espnow, mtu):
        """espnow: an active espnow.ESPNow; mtu: the longest frame in bytes."""
        self.mtu = mtu
        self.dropped = 0
        self.frame = None
        self._espnow = espnow
        self._irecv = espnow.irecv
        self._peer = bytearray(6)
        self._has_peer = False
        self._sender = self._kept = None
        espnow.add_peer(_EVERYBODY)

    @micropython.native  # for the reason that firmware/node.py gives
    def receive(self):
        """The length of a frame that came in, now in `frame`, or 0. Does not wait."""
        self._sender, self.frame = _, message = self._irecv(0)
        return 0 if message is None else len(message)

    def keep_sender(self):
        """Has answers go, from now on, where the last received frame came from, even after frames
        of others."""
        if self._kept is None:
            self._kept = bytearray(6)
        self._kept[:] = self._sender

    @micropython.native
    def send(self, frame, length):
        """Sends frame[:length] to the station that the last received frame came from, if any."""
        sender = self._kept or self._sender
        if sender is not None and sender != self._peer:
            if self._has_peer:
                self._espnow.del_peer(self._peer)
            self._peer[:] = sender
            self._espnow.add_peer(self._peer)
            self._has_peer = True
        if self._has_peer:
            self._put(self._peer, frame, length)

    def broadcast(self, frame, length):
        """Sends frame[:length] to all stations."""
        self._put(_EVERYBODY, frame, length)

    @micropython.native
    def _put(self, mac, frame, length):
        """A frame that the driver has no room for (ESP_ERR_ESPNOW_NO_MEM) is one more that is
        lost on the air: whoever misses it asks again."""
        try:
            self._espnow.send(mac, memoryview(frame)[:length], False)
        except OSError:
            self.dropped += 1


class Gateway:
    """Chip 0's link: the host's serial line, and through it the host's way to the radio.

    Frames are relayed as they are; whoever they are for checks them. What this chip is sent comes
    from both sides, in turn where both have something.
    """

    def __init__(self, chip_id, uart, radio):
        self.mtu = radio.mtu
        self._chip_id = chip_id
        self._uart = uart
        self._radio = radio
        self._radio_first = False
        self.frame = uart.frame

    @property
    def dropped(self):
        """Damaged frames skipped so far, and frames that the radio did not take."""
        return self._uart.dropped + self._radio.dropped

    @micropython.native
    def receive(self):
        """As a link's: a frame for this chip; frames for others are relayed on the way."""
        self._radio_first = not self._radio_first
        if self._radio_first:
            return self._from_radio() or self._from_host()
        return self._from_host() or self._from_radio()

    def _from_radio(self):
        length = self._relayed()
        self._uart.flush()
        return length

    @micropython.native
    def _relayed(self):
        """Queues frames for the host until one comes for this chip: its length, or 0."""
        radio = self._radio
        for _ in range(_RADIO_FRAMES_A_TURN):
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
                self._radio.broadcast(frame, length)
            if frame[DST] == BROADCAST:
                return length
            length = uart.receive()
        return 0

    def keep_sender(self):
        """Nothing: answers go to the host anyhow."""

    def broadcast(self, frame, length):
        """Sends frame[:length] to all stations."""
        self._radio.broadcast(frame, length)

    def send(self, frame, length):
        """Sends frame[:length] to the host."""
        self._uart.send(frame, length)
