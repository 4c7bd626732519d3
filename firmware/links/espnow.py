"""The radio link: frames over ESP-NOW.

What is to be known of MicroPython's espnow: broadcasts are not acknowledged; if send() returns
True, the other radio has the packet, but its program may not; packets beyond `rxbuf` are lost
although they were acknowledged, so rxbuf has room for an answer of every chip; irecv reuses its
buffers.
"""

from protocol.compat import const, micropython, ticks_diff, ticks_ms
from protocol.messages import RADIO

# A driver that has no room for a frame usually has some soon. One that has refused so many frames
# in a row, over so many milliseconds, takes none until Wi-Fi is switched off and on.
_FAILING_MS = const(500)
_FAILING_FRAMES = const(4)
# After so many restarts of the radio without a frame sent, the chip restarts.
_MOST_RESTARTS = const(5)
_EVERYBODY = b"\xff\xff\xff\xff\xff\xff"


class RadioLink:
    """Sends and receives frames; answers go to the station that the last frame came from.

    report(text, code): called when the radio was restarted; radio: this object, as links with a
    radio have it.
    """

    def __init__(self, espnow, mtu, settings=None):
        """espnow: an active espnow.ESPNow; mtu: bytes of the longest frame; settings: those that
        firmware/links/wifi.py started it with."""
        self.radio = self
        self.report = None
        self.settings = settings
        self.refused = [0, 0, 0]  # frames in a row, since when (ms), and restarts in vain
        self.mtu = mtu
        self.dropped = 0
        self.frame = None
        self._espnow = espnow
        self._irecv = espnow.irecv
        self._peer = bytearray(6)
        self._has_peer = False
        self._sender = self._kept = None
        espnow.add_peer(_EVERYBODY)

    @micropython.native  # for the reason given in firmware/outbox.py
    def receive(self):
        """Puts a received frame into `frame` and returns its length, or 0. Does not wait."""
        self._sender, self.frame = _, message = self._irecv(0)
        return 0 if message is None else len(message)

    def keep_sender(self):
        """Keeps the sender of the last received frame as the station that `send` sends to."""
        if self._kept is None:
            self._kept = bytearray(6)
        self._kept[:] = self._sender

    def send(self, frame, length):
        """Sends frame[:length] to the station that was kept, or else as `answer` does."""
        self.answer(frame, length, self._kept)

    @micropython.native
    def answer(self, frame, length, sender=None):
        """Sends frame[:length] to the station `sender`, by default that of the last received
        frame; does nothing if there is none."""
        sender = sender or self._sender
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
        """Gives frame[:length] to the driver. One that it refuses (ESP_ERR_ESPNOW_NO_MEM) counts
        as lost on the air: its receiver asks again."""
        try:
            self._espnow.send(mac, memoryview(frame)[:length], False)
            if self.refused[0]:
                self.refused[:] = 0, 0, 0
        except OSError as error:
            self.dropped += 1
            self._fail(error)

    def _fail(self, error):
        """Counts a frame that the driver has refused, and restarts the radio if it fails for good.

        Raises the error if restarting has not helped.
        """
        refused, now = self.refused, ticks_ms()
        if not refused[0]:
            refused[1] = now
        refused[0] += 1
        if refused[0] < _FAILING_FRAMES or ticks_diff(now, refused[1]) < _FAILING_MS:
            return
        refused[:] = 1, now, refused[2] + 1  # _put sets them to 0 when a frame is taken
        if refused[2] > _MOST_RESTARTS:
            raise error
        from firmware.links.wifi import start

        start(self.settings)  # this forgets all peers
        self._has_peer = False
        self._espnow.add_peer(_EVERYBODY)
        if self.report:
            self.report("%s: its radio was restarted" % error, RADIO)
