"""Jobs: generations that clients wait for, from the queue to their last token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from host.errors import FederationError
from host.generation.generator import Generation, Task


class DeadlineError(FederationError):
    """A generation was not complete in time; the message is one line."""


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
    """The end of a job that has failed."""

    error: FederationError


Event = Piece | Done | Failed


@dataclass(eq=False)
class Job:
    """A task in the queue or in a slot of a cluster.

    client: identifies the client, since clients take turns in the queue; deliver: called with each
    event from a cluster's thread, must return at once; is_cancelled: whether its client is gone;
    attempts: how often a cluster failed while running it, without a token in between; created,
    started: by time.monotonic(); started is 0 until a cluster begins with it.
    """

    task: Task
    client: str
    deliver: Callable[[Event], None]
    is_cancelled: bool = False
    attempts: int = 0
    created: float = field(default_factory=time.monotonic)
    started: float = 0.0


class Mailbox:
    """Carries events of a job from a cluster's thread to the coroutine that created it."""

    def __init__(self) -> None:
        """Must be called in the coroutine's event loop."""
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def deliver(self, event: Event) -> None:
        """Passes on an event; drops it if the loop is closed, as at the end of the program."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def events(self, deadline: float | None = None) -> AsyncIterator[Piece | Done]:
        """Yields the events as they come, Done last.

        deadline: by the loop's clock. Raises the job's error if it fails, and DeadlineError if it
        is not complete in time.
        """
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    event = await self._events.get()
            except TimeoutError:
                raise DeadlineError("the answer was not ready in time: try again later") from None
            if isinstance(event, Failed):
                raise event.error
            yield event
            if isinstance(event, Done):
                return
