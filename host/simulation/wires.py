"""The wires of a ring of simulated chips, from the UART of each to that of the next one.

A wire is a pipe. If frames shall be lost it is two pipes, and a thread passes on all frames from
the first to the second except those that are lost.
"""

from __future__ import annotations

import os
import selectors
from contextlib import suppress
from random import Random
from threading import Thread

from host.simulation.lossy_port import LossyStream

_READ_SIZE = 4096


class Wires:
    """ends: for each chip in order, the descriptors that it receives from and sends to; None for
    those of the first and the last chip that are connected to the host."""

    def __init__(self, chips: int, loss: float = 0.0, seed: int = 0) -> None:
        """loss: the probability that a frame is lost on a wire from one chip to the next."""
        self.ends: list[tuple[int | None, int | None]] = []
        self._open: list[int] = []
        self._selector = selectors.DefaultSelector()
        self._thread: Thread | None = None
        receives: int | None = None
        for chip in range(chips - 1):
            source, sends = self._pipe()
            self.ends.append((receives, sends))
            receives = source
            if loss:
                stream = LossyStream(Random(f"{seed}/wire {chip}"), loss, 0.0)
                receives, sink = self._pipe()
                self._selector.register(source, selectors.EVENT_READ, (stream, sink))
        self.ends.append((receives, None))
        if loss and chips > 1:
            self._stop, self._stopped = os.pipe()
            self._open += [self._stop, self._stopped]
            self._selector.register(self._stop, selectors.EVENT_READ)
            self._thread = Thread(target=self._pump, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Cuts all wires."""
        if self._thread:
            os.write(self._stopped, b"x")
            self._thread.join()
        self._selector.close()
        for descriptor in self._open:
            os.close(descriptor)

    def _pipe(self) -> tuple[int, int]:
        """Returns both ends of a new non-blocking pipe."""
        source, sink = os.pipe()
        self._open += [source, sink]
        for descriptor in (source, sink):
            os.set_blocking(descriptor, False)
        return source, sink

    def _pump(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                stream, sink = key.data
                with suppress(BlockingIOError):  # a chip that does not read loses the rest
                    os.write(sink, stream.passed(os.read(key.fd, _READ_SIZE)))
