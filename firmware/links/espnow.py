"""The radio link: frames over ESP-NOW.

Facts of espnow that shape this: a broadcast is not acknowledged; send() returning True means
that a radio has it, not that the program does; packets beyond `rxbuf` are lost although they
were acknowledged, so rxbuf holds an answer of every chip; irecv reuses its buffers.
"""

from protocol.compat import micropython

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

    @micropython.native  # for the reason that firmware/outbox.py gives
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
        """Sends frame[:length] to the station that was kept, or else as `reply`."""
        self._send_to(self._kept or self._sender, frame, length)

    def reply(self, frame, length):
        """Sends frame[:length] to the station that the last received frame came from, if any."""
        self._send_to(self._sender, frame, length)

    @micropython.native
    def _send_to(self, sender, frame, length):
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
