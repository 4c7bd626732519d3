"""The radio link: frames over ESP-NOW.

Facts of espnow that shape this: a broadcast is not acknowledged; send() returning True means
that a radio has it, not that the program does; packets beyond `rxbuf` are lost although they
were acknowledged, so rxbuf holds an answer of every chip; irecv reuses its buffers.
"""

from protocol.compat import const, micropython, ticks_diff, ticks_ms
from protocol.messages import RADIO

# A driver without room for one more frame has some soon; one that takes none for so many
# milliseconds, of so many frames, never will, until Wi-Fi is switched off and on.
_FAILING_MS = const(500)
_FAILING_FRAMES = const(4)
# Times that this is tried, without a frame that was taken, before the chip starts anew.
_MOST_RESTARTS = const(5)
_EVERYBODY = b"\xff\xff\xff\xff\xff\xff"


class RadioLink:
    """Frames between chips; a chip's answers go to the station that its last frame came from.

    report: is given a line of text and its code when the radio was restarted; radio: this.
    """

    def __init__(self, espnow, mtu, settings=None):
        """espnow: an active espnow.ESPNow; mtu: the longest frame in bytes; settings: with which
        it was opened."""
        self.radio = self
        self.report = None
        self.settings = settings
        self.refused = [0, 0, 0]  # frames in a row, since when, and restarts in vain
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

    def send(self, frame, length):
        """Sends frame[:length] to the station that was kept, or else as `answer`."""
        self.answer(frame, length, self._kept)

    @micropython.native
    def answer(self, frame, length, sender=None):
        """Sends frame[:length] to the station that the last received frame came from, if any, or
        to another."""
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
        """A frame that the driver has no room for (ESP_ERR_ESPNOW_NO_MEM) is one more that is
        lost on the air: whoever misses it asks again."""
        try:
            self._espnow.send(mac, memoryview(frame)[:length], False)
            if self.refused[0]:
                self.refused[:] = 0, 0, 0
        except OSError as error:
            self.dropped += 1
            self._fail(error)

    def _fail(self, error):
        """Takes in that the driver has refused a frame; restarts it if it fails for good."""
        refused, now = self.refused, ticks_ms()
        if not refused[0]:
            refused[1] = now
        refused[0] += 1
        if refused[0] < _FAILING_FRAMES or ticks_diff(now, refused[1]) < _FAILING_MS:
            return
        refused[:] = 1, now, refused[2] + 1  # until a frame is taken
        if refused[2] > _MOST_RESTARTS:
            raise error
        from firmware.links.wifi import start

        start(self.settings)  # which forgets all peers
        self._has_peer = False
        self._espnow.add_peer(_EVERYBODY)
        if self.report:
            self.report("%s: its radio was restarted" % error, RADIO)
