"""The radio link: frames over ESP-NOW.

Facts of espnow that shape this: a broadcast is not acknowledged; send() returning True means
that a radio has it, not that the program does; packets beyond `rxbuf` are lost although they
were acknowledged, so rxbuf holds an answer of every chip; irecv reuses its buffers.
"""

import sys

from protocol.compat import const, micropython, ticks_diff, ticks_ms

# A driver without room for one more frame has some soon; one that takes none for so many
# milliseconds, of so many frames, never will, until Wi-Fi is switched off and on.
_FAILING_MS = const(500)
_FAILING_FRAMES = const(4)
# Times that this is tried, without a frame that was taken, before the chip starts anew.
_MOST_RESTARTS = const(5)
_EVERYBODY = b"\xff\xff\xff\xff\xff\xff"


class RadioLink:
    """Frames between chips; a chip's answers go to the station that its last frame came from.

    report: is given a line of text when the radio had to be restarted; radio: this.
    """

    def __init__(self, espnow, mtu, settings=None):
        """espnow: an active espnow.ESPNow; mtu: the longest frame in bytes; settings: with which
        it was opened."""
        self.radio = self
        self.report = None
        self._settings = settings
        self._failed = self._failed_at = self._restarts = 0
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
        if sender is not None and (sender != self._peer or not self._has_peer):
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
            if self._failed:
                self._failed = self._restarts = 0
        except OSError as error:
            self.dropped += 1
            self._fail(error)

    def _fail(self, error):
        """Takes in that the driver has refused a frame; restarts it if it fails for good."""
        now = ticks_ms()
        if not self._failed:
            self._failed_at = now
        self._failed += 1
        if self._failed < _FAILING_FRAMES or ticks_diff(now, self._failed_at) < _FAILING_MS:
            return
        self._failed_at = now
        self._failed = 1  # until a frame is taken
        self._restarts += 1
        if self._restarts > _MOST_RESTARTS:
            raise error
        self.restart()
        self._has_peer = False
        self._espnow.add_peer(_EVERYBODY)
        if self.report:
            self.report("%s: its radio was restarted" % error)

    def restart(self):
        """Switches Wi-Fi and ESP-NOW off and on, which forgets all peers."""
        from firmware.links.wifi import open_radio

        open_radio(self._settings)
        sys.modules.pop("firmware.links.wifi", None)
