"""Jobs: generations that clients wait for, from the queue to their last token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from host.errors import FederationError
from host.generation.generator import Generation, Task


class DeadlineError(FederationError):
    """A generation that was not done in its time; the message is one line."""


@dataclass(frozen=True)
class Piece:
    """Text that a token adds."""

    text: str


@dataclass(frozen=True)
class Done:
    """The end of a job, with all that was generated."""

    generation: Generation


@dataclass(frozen=True)
class Failed:
    """The end of a job that could not be done."""

    error: FederationError


Event = Piece | Done | Failed


@dataclass(eq=False)
class Job:
    """A task in the queue or in a slot of a cluster.

    client: whose turn it takes in the queue; deliver: is called with each event, from the thread
    of a cluster, and returns at once; is_cancelled: whether nobody waits for it any more;
    attempts: how often a cluster failed under it without a token between; created, started: by
    time.monotonic(), started 0 until a cluster begins with it.
    """

    task: Task
    client: str
    deliver: Callable[[Event], None]
    is_cancelled: bool = False
    attempts: int = 0
    created: float = field(default_factory=time.monotonic)
    started: float = 0.0


class Mailbox:
    """Brings events of a job from a cluster's thread to the coroutine that made it."""

    def __init__(self) -> None:
        """To be called in the coroutine's loop."""
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def deliver(self, event: Event) -> None:
        """Passes on an event; drops it where the loop is closed, as at the end of the program."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def events(self, deadline: float | None = None) -> AsyncIterator[Piece | Done]:
        """Yields what comes, Done last.

        deadline: by the loop's clock. Raises what the job failed with, DeadlineError where it is
        not done in time.
        """
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    event = await self._events.get()
            except TimeoutError:
                raise DeadlineError("the answer was not there in time: ask again later") from None
            if isinstance(event, Failed):
                raise event.error
            yield event
            if isinstance(event, Done):
                return
