"""Chips of tests/host/fake_chips.py at the other end of pseudo-terminals, as boards on ports."""

import os
import select
import threading
import time
import tty

from host.wire.framing import FrameSplitter, encode_frame
from protocol.frame import MAX_FRAME
from tests.host.fake_chips import FakeChip


class PtyChip:
    """A context manager; `url`: the port. chip: a FakeChip, None for a board that says nothing.

    `heard`: whether anything came from the host.
    """

    def __init__(self, chip=None):
        if isinstance(chip, int):
            chip = FakeChip(chip)
        self.chip, self.heard = chip, False
        self._master, slave = os.openpty()
        tty.setraw(slave)
        # Open to the end: the port stays while no program has it, and no other gets its name.
        self._slave = slave
        self.url = os.ttyname(slave)
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def say(self, data):
        """Bytes from the board."""
        os.write(self._master, data)

    def unplug(self):
        """The port goes."""
        if self._waker is not None:
            os.close(self._waker)
            self._waker = None
            self._thread.join()
            os.close(self._master)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.unplug()
        os.close(self._slave)

    def _serve(self):
        splitter = FrameSplitter(MAX_FRAME)
        while True:
            ready = select.select([self._master, self._wake], [], [])[0]
            if self._wake in ready:
                os.close(self._wake)
                return
            frames = splitter.frames(os.read(self._master, 4096))
            self.heard = True
            for frame in frames if self.chip else []:
                for delay, reply in self.chip.replies(frame):
                    time.sleep(delay)
                    os.write(self._master, encode_frame(reply))
