"""Asks chips for their counters, once for all clients that want them at the same time.

Chips are asked between two tokens, so each time delays what is being generated.
"""

from __future__ import annotations

import asyncio
from typing import Any

from host.launch.chip_statistics import ChipStatistics
from host.serving.engine import READY, Engine
from host.serving.service import Service

_TIMEOUT = 2.0  # seconds to wait for the chips' counters
_INTERVAL = 0.2  # seconds at least between two requests to chips

Counters = dict[str, list[ChipStatistics]]  # by cluster


class ChipCounters:
    """Asks the chips of all clusters. To be used in one event loop."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._asking: asyncio.Task[Counters] | None = None
        self._next = 0.0  # when chips may be asked again, by the loop's clock

    async def ask(self) -> Counters:
        """Returns the counters of all clusters that answer in time."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> Counters:
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(self._next - loop.time())
            self._next = loop.time() + _INTERVAL
            return await _ask_chips(self._service.engines)
        finally:
            self._asking = None


async def _ask_chips(engines: list[Engine]) -> Counters:
    futures = {
        engine.name: asyncio.wrap_future(engine.ask_statistics())
        for engine in engines
        if engine.state == READY
    }
    if futures:
        await asyncio.wait(futures.values(), timeout=_TIMEOUT)
    found: dict[str, Any] = {}
    for name, future in futures.items():
        if future.done() and not future.cancelled() and not future.exception():
            found[name] = future.result()
        else:
            future.cancel()
    return found
