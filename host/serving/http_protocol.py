"""HTTP on a connection, with limits on the size of a request's head and on the time it may take.

uvicorn has a timeout between requests, and none while a head comes byte by byte; its parser in C
takes a third of the time that the one in Python does, and a head of any length.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_TIMEOUT = 15.0  # seconds in which the head of a request must be whole
MOST_HEAD = 1 << 16  # bytes of it, which may be read before it is found to be longer
_REFUSAL = "HTTP/1.1 {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class TimedProtocol(HttpToolsProtocol):
    """Closes connections whose head is too long, or not there in time."""

    head_timeout = HEAD_TIMEOUT
    _head_timer: asyncio.TimerHandle | None = None
    _head_size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        seen = self.cycle
        if self._head_timer is None and (seen is None or seen.response_complete):
            self._await_head()  # of the next request on a connection that is kept
        super().data_received(data)
        if self.cycle is not seen:
            self._forget_timer()
        elif self._head_timer is not None:
            self._head_size += len(data)
            if self._head_size > MOST_HEAD:
                self._refuse("431 Request Header Fields Too Large")

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_timer()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_size = 0
        self._head_timer = self.loop.call_later(
            self.head_timeout, self._refuse, "408 Request Timeout"
        )

    def _refuse(self, status: str) -> None:
        self._forget_timer()
        if not self.transport.is_closing():
            self.transport.write(_REFUSAL.format(status).encode())
            self.transport.close()

    def _forget_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
