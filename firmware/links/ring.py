"""The link of a chip in a ring of serial lines: each chip's TX leads to the next one's RX, the
host's to the first chip's, and the last chip's to the host's.

Frames go one way only, through each chip between sender and receiver. Only the receiver verifies
a frame. One that comes back to its sender had no receiver, and is not sent on.
"""

from protocol.compat import const, micropython
from protocol.frame import BROADCAST, DST, SRC

# A sender that never stops must not keep a chip from its own work.
FRAMES_A_POLL = const(64)


def open_link(config, uart):
    """As firmware/devices.py opens it; uart: a UartLink."""
    return Ring(config["chip"], uart, config["timeout"])


class Ring:
    """A chip's UART, on which it passes on what is not for itself alone.

    timeout: for how many milliseconds an acknowledgement may be on its way around.

    Names here are those of other modules: MicroPython's table of names grows by large pieces.
    """

    def __init__(self, chip_id, uart, timeout=0):
        """uart: a UartLink, with buffers for the longest frame that passes."""
        self.mtu = uart.mtu
        self.timeout = timeout
        self._chip_id = chip_id
        self._uart = uart
        self.frame = uart.frame
        # Bound once: a bound method is an allocation.
        self._receive = uart.receive
        self._unread = 0  # bytes of a frame for this chip that `poll` has met
        self.send = self.broadcast = self.answer = uart.send

    @property
    def dropped(self):
        """The number of damaged frames skipped, and of frames that were too long to pass on."""
        return self._uart.dropped

    @micropython.native
    def receive(self):
        """Puts a received frame for this chip into `frame` and returns its length, or 0.

        Passes on frames for others. Does not wait.
        """
        length = self._unread
        if length:
            self._unread = 0
            return length
        chip_id, frame, receive = self._chip_id, self.frame, self._receive
        for _ in range(FRAMES_A_POLL):
            length = receive()
            if length <= DST or frame[DST] == chip_id:
                return length
            if frame[SRC] != chip_id:
                self.send(frame, length)
                if frame[DST] == BROADCAST:
                    return length
        return 0

    def poll(self):
        """Passes on frames for others, up to the first one for this chip, which `receive` then
        returns."""
        if not self._unread:
            self._unread = self.receive()

    def install(self, collective):
        """Has frames for others passed on after each phase of this chip's work, up to the first
        one for this chip; those behind it wait until the step ends. A phase ends when
        `collective`, of which this chip is the only member, is given its result."""
        all_reduce = collective.all_reduce

        def send(values, count):
            all_reduce(values, count)
            self.poll()

        collective.all_reduce = send

    def keep_sender(self):
        """Does nothing: answers go on around the ring."""
