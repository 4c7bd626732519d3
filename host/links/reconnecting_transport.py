"""Lines that outlast their ports: one that goes is opened again, wherever its board is found."""

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
_TRY_AGAIN = 0.25  # seconds


class LastingTransport(Transport):
    """What is sent to a chip whose port is gone is lost, as frames may be: the coordinator asks
    again, and gives its cache to a chip that has lost it."""

    def __init__(
        self,
        lines: dict[int, Line],
        mtu: int,
        reopened: Callable[[int], Port],
        patience: float,
    ) -> None:
        """reopened: gives the port of a chip, or raises PortClosed; patience: seconds after which
        one that is gone ends it all."""
        super().__init__(lines, mtu)
        self._reopened, self._patience = reopened, patience
        self._gone: dict[Line, ClusterError] = {}
        self._since: dict[Line, float] = {}
        self._try_at = 0.0

    def receive(self, timeout: float) -> list[bytes]:
        """As Transport's; opens what is gone. Raises ClusterError for a port that stays away."""
        if self._gone:
            self._reopen(time.monotonic())
            timeout = min(timeout, _TRY_AGAIN)
        return super().receive(timeout)

    def _put(self, line: Line, frame: bytes) -> None:
        if line not in self._gone:
            super()._put(line, frame)

    def _lose(self, line: Line, error: Exception) -> None:
        self._gone[line], self._since[line] = self._lost(line, error), time.monotonic()
        _LOG.warning("%s: waiting for it", self._gone[line])
        for key in list(self._selector.get_map().values()):
            if key.data is line:
                self._selector.unregister(key.fileobj)
        with contextlib.suppress(OSError):
            line.port.close()
        line.pending = b""

    def _reopen(self, now: float) -> None:
        if now < self._try_at:
            return
        self._try_at = now + _TRY_AGAIN
        for line, error in list(self._gone.items()):
            try:
                line.take(self._reopened(self._chip(line)))
            except PortClosed:
                if now - self._since[line] > self._patience:
                    raise error from None
                continue
            del self._gone[line]
            self._selector.register(line.port.fileno(), selectors.EVENT_READ, line)
            _LOG.warning("the port of chip %d is open again", self._chip(line))
