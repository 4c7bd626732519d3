"""HTTP on a connection, with limits on the resources that a client can take.

uvicorn has a timeout between requests, but none for a head that comes byte by byte or for a client
that does not read its answer, and no limit on connections. Its parser in C takes a third of the
time of the one in Python, but accepts heads of any length.
"""

from __future__ import annotations

import asyncio
import resource

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_TIMEOUT = 15.0  # seconds within which the head of a request must be complete
WRITE_TIMEOUT = 30.0  # seconds within which a client must read some of its waiting answer
MOST_PIPELINED = 16  # requests that may wait behind another on the same connection
MOST_HEAD = 1 << 16  # bytes of the head of a request
_REFUSAL = "HTTP/1.1 {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def find_most_connections() -> int:
    """Returns the limit of connections: half of the files that this process may open, because
    clusters need some too, and at most 512."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 512 if files == resource.RLIM_INFINITY else min(512, max(1, files // 2))


class TimedProtocol(HttpToolsProtocol):
    """Closes connections whose head is too long or too slow, whose answer is not read, or that
    send too many requests ahead.

    If there are too many connections it closes the one that has waited longest for a request, so
    that clients that only hold connections cannot keep others out.
    """

    head_timeout = HEAD_TIMEOUT
    write_timeout = WRITE_TIMEOUT
    most_connections = find_most_connections()
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _head_size = 0
    _waits_since = 0.0  # since when it waits for a request, by the loop's clock

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._waits_since = self.loop.time()
        self._await_head()
        if len(self.connections) > self.most_connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        seen = self.cycle
        if self._head_timer is None and (seen is None or seen.response_complete):
            self._await_head()  # the next request on a connection that is kept open
        super().data_received(data)
        if self.cycle is not seen:
            self._forget_head()
        elif self._head_timer is not None:
            self._head_size += len(data)
            if self._head_size > MOST_HEAD:
                self._refuse("431 Request Header Fields Too Large")
        if len(self.pipeline) > MOST_PIPELINED:
            self.pipeline.clear()
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        self._forget_reader()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._waits_since = self.loop.time()
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self._await_reader()  # a transport that is closed waits for it without an end
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget_reader()

    def _make_room(self) -> None:
        open_ = [
            each for each in self.connections
            if isinstance(each, TimedProtocol) and not each.transport.is_closing()
        ]  # fmt: skip
        if len(open_) > self.most_connections:
            waiting = [each for each in open_ if each._awaits_request]  # this one at least
            min(waiting, key=lambda each: each._waits_since).transport.abort()

    @property
    def _awaits_request(self) -> bool:
        """Whether the client still has to send a request, or the rest of its body."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def _await_head(self) -> None:
        self._head_size = 0
        self._head_timer = self.loop.call_later(
            self.head_timeout, self._refuse, "408 Request Timeout"
        )

    def _await_reader(self) -> None:
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.write_timeout, self.transport.abort)

    def _refuse(self, status: str) -> None:
        self._forget_head()
        if not self.transport.is_closing():
            self.transport.write(_REFUSAL.format(status).encode())
            self._await_reader()
            self.transport.close()

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _forget_reader(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
