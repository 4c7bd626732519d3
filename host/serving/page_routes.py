"""The page: files of the package, and the events of its live view."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from host.serving.api_errors import ApiError
from host.serving.chip_counters import ChipCounters, Counters
from host.serving.event_stream import EventStream, encode_event
from host.serving.live import LiveView
from host.serving.service import Service

FOLDER = Path(__file__).parent / "page"
MOST_VIEWERS = 32
_INTERVAL = 0.25  # seconds between two events
_CHIPS_EVERY = 8  # events after which chips are asked for their counters
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none';"
                               " form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}  # fmt: skip
_TYPES = {
    "index.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "cluster.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


class Page:
    """The endpoints of the page."""

    def __init__(self, service: Service, live: LiveView, counters: ChipCounters) -> None:
        self._service, self._live, self._counters = service, live, counters
        self._viewers = 0

    def routes(self) -> list[Route]:
        return [
            Route("/", self.index),
            Route("/page/{name}", self.file),
            Route("/live", self.live),
        ]

    async def index(self, request: Request) -> Response:
        """Serves the page itself."""
        return _file("index.html")

    async def file(self, request: Request) -> Response:
        """Serves a file of the page."""
        name = request.path_params["name"]
        if name not in _TYPES:
            raise ApiError(404, f"no file {name!r:.80}", code="unknown_url")
        return _file(name)

    async def live(self, request: Request) -> Response:
        """Streams what clusters do, several times a second, as server-sent events."""
        if self._viewers >= MOST_VIEWERS:
            raise ApiError(
                429, f"{MOST_VIEWERS} pages look on already: close one", kind="rate_limit_error",
                code="too_many_viewers", retry_after=10,
            )  # fmt: skip
        return EventStream(self._events())

    async def _events(self) -> AsyncGenerator[bytes, None]:
        self._viewers += 1
        try:
            with self._live.watched():
                chips: Counters = {}
                number, last = 0, b""
                while not self._service.is_stopping:
                    if number % _CHIPS_EVERY == 0:
                        chips = await self._counters.ask()
                    event = encode_event(self._live.snapshot(self._service, chips))
                    if event != last:
                        yield event
                    number, last = number + 1, event
                    await asyncio.sleep(_INTERVAL)
        finally:
            self._viewers -= 1


def _file(name: str) -> Response:
    return FileResponse(FOLDER / name, media_type=_TYPES[name], headers=_HEADERS)
