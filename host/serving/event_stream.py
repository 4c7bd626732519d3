"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

The response does not use a task for each event: while the server works, a cluster's thread waits
for Python's lock, so every step saved here makes tokens come sooner.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from starlette.responses import StreamingResponse
from starlette.types import Send

DONE = b"data: [DONE]\n\n"  # OpenAI's last event
_COMMENT = b": still here\n\n"
_INTERVAL = 15.0  # seconds without an event after which a comment keeps proxies from closing


def encode_event(content: Any) -> bytes:
    """Returns an event that holds an object as JSON."""
    return b"data: " + msgspec.json.encode(content) + b"\n\n"


class EventStream(StreamingResponse):
    """Sends encoded events as they come; closes their generator at the end, or when the client is
    gone."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None], interval: float = _INTERVAL) -> None:
        """interval: seconds without an event after which a comment is sent."""
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, headers=headers)
        self._events, self._interval = events, interval
        self._has_sent = False

    async def stream_response(self, send: Send) -> None:
        """Called by Starlette, which cancels it when the client is gone."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        commenting = asyncio.create_task(self._comment(send))
        try:
            async with contextlib.aclosing(self._events):
                async for event in self._events:
                    self._has_sent = True
                    await send({"type": "http.response.body", "body": event, "more_body": True})
        finally:
            commenting.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _comment(self, send: Send) -> None:
        while True:
            await asyncio.sleep(self._interval)
            if not self._has_sent:
                await send({"type": "http.response.body", "body": _COMMENT, "more_body": True})
            self._has_sent = False
