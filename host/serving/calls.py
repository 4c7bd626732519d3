"""Calls that other threads want made between two tokens."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future


class Calls:
    """Takes functions from any thread, for one thread to run. Each has its future resolved."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Callable[[], object], Future[object]]] = deque()

    def add(
        self, function: Callable[[], object], refusal: Callable[[], Exception | None]
    ) -> Future[object]:
        """Adds a function; refusal: why it cannot be, asked while nobody can fail those that
        wait."""
        future: Future[object] = Future()
        with self._lock:
            error = refusal()
            if error is None:
                self._waiting.append((function, future))
        if error is not None:
            future.set_exception(error)
        return future

    def run(self) -> None:
        """Runs those that wait. Raises what one of them does, once its future has it."""
        while taken := self._take():
            function, future = taken
            try:
                result = function()
            except BaseException as error:
                future.set_exception(error)
                raise
            future.set_result(result)

    def fail(self, error: Exception) -> None:
        """Fails all that wait."""
        while taken := self._take():
            taken[1].set_exception(error)

    def _take(self) -> tuple[Callable[[], object], Future[object]] | None:
        """The next one that nobody has cancelled."""
        with self._lock:
            while self._waiting:
                taken = self._waiting.popleft()
                if taken[1].set_running_or_notify_cancel():
                    return taken
        return None
