"""The link of a chip in a ring of serial lines: each chip's TX leads to the next one's RX, the
host's to the first chip's, and the last chip's to the host's.

Frames go one way only, through each chip between sender and receiver. Only the receiver verifies
a frame. One that comes back to its sender had no receiver, and is not sent on.
"""

from protocol.compat import const, micropython
from protocol.frame import BROADCAST, DST, SRC

# A sender that never stops must not keep a chip from its own work.
FRAMES_A_POLL = const(64)


def open_link(chip_id, uart):
    """As firmware/devices.py opens it; uart: a UartLink."""
    return Ring(chip_id, uart)


class Ring:
    """A chip's UART, on which it passes on what is not for itself alone."""

    def __init__(self, chip_id, uart):
        """uart: a UartLink, with buffers for the longest frame that passes."""
        self.mtu = uart.mtu
        self._chip_id = chip_id
        self._uart = uart
        self.frame = uart.frame
        # Bound once: a bound method is an allocation.
        self._receive = uart.receive
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

    def keep_sender(self):
        """Does nothing: answers go on around the ring."""
