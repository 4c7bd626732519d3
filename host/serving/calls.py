"""Runs functions of other threads in a cluster's thread, between two tokens."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future


class Calls:
    """Functions from any thread, for one thread to run; each has a future for its result."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Callable[[], object], Future[object]]] = deque()

    def add(
        self, function: Callable[[], object], refusal: Callable[[], Exception | None]
    ) -> Future[object]:
        """Adds a function, and returns its future.

        refusal: returns an error if functions cannot run now, else None; it is called under the
        lock that `fail` takes too.
        """
        future: Future[object] = Future()
        with self._lock:
            error = refusal()
            if error is None:
                self._waiting.append((function, future))
        if error is not None:
            future.set_exception(error)
        return future

    def run(self) -> None:
        """Runs the waiting functions. Raises the error of one, after its future got it."""
        while taken := self._take():
            function, future = taken
            try:
                result = function()
            except BaseException as error:
                future.set_exception(error)
                raise
            future.set_result(result)

    def fail(self, error: Exception) -> None:
        """Fails all waiting functions."""
        while taken := self._take():
            taken[1].set_exception(error)

    def _take(self) -> tuple[Callable[[], object], Future[object]] | None:
        """Returns the next function that was not cancelled, None if there is none."""
        with self._lock:
            while self._waiting:
                taken = self._waiting.popleft()
                if taken[1].set_running_or_notify_cancel():
                    return taken
        return None
