"""A transport that opens lost ports again, at whatever port their boards are then."""

from __future__ import annotations

import contextlib
import logging
import selectors
import time
from collections.abc import Callable

from host.errors import ClusterError
from host.links.access import PortClosed
from host.links.transport import Line, Port, Transport

_LOG = logging.getLogger("federation")
_RETRY_INTERVAL = 0.25  # seconds


class ReconnectingTransport(Transport):
    """A Transport that waits for lost ports to come back.

    What is sent to a chip meanwhile is lost, as any frame may be: the host retransmits requests,
    and rebuilds the KV cache of a chip that has lost it.
    """

    def __init__(
        self,
        lines: dict[int, Line],
        mtu: int,
        reopen: Callable[[int], Port],
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """reopen: opens the port of a chip again, or raises PortClosed; timeout: seconds after
        which a port that is still lost raises ClusterError; clock: seconds."""
        super().__init__(lines, mtu)
        self._reopen_port, self._timeout, self._clock = reopen, timeout, clock
        self._lost: dict[Line, tuple[ClusterError, float]] = {}  # and since when
        self._retry_at = 0.0

    def receive(self, timeout: float) -> list[bytes]:
        """Does what Transport's does, and reopens lost ports. Raises ClusterError for a port that
        is still lost after the timeout."""
        if self._lost:
            self._reopen(self._clock())
            timeout = min(timeout, _RETRY_INTERVAL)
        return super().receive(timeout)

    def _write(self, line: Line, frame: bytes) -> None:
        if line not in self._lost:
            super()._write(line, frame)

    def _lose(self, line: Line, error: Exception) -> None:
        lost = self._port_lost(line, error)
        self._lost[line] = lost, self._clock()
        _LOG.warning("%s: waiting for it", lost)
        for key in list(self._selector.get_map().values()):
            if key.data is line:
                self._selector.unregister(key.fileobj)
        with contextlib.suppress(OSError):
            line.port.close()
        line.clear()

    def _reopen(self, now: float) -> None:
        if now < self._retry_at:
            return
        self._retry_at = now + _RETRY_INTERVAL
        for line, (error, since) in list(self._lost.items()):
            try:
                line.use(self._reopen_port(self._first_chip(line)))
            except PortClosed:
                if now - since > self._timeout:
                    raise error from None
                continue
            del self._lost[line]
            self._selector.register(line.port.fileno(), selectors.EVENT_READ, line)
            _LOG.warning("the port of chip %d is open again", self._first_chip(line))
