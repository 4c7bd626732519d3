"""The queue of a model's jobs: bounded, and fair between clients."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque

from host.errors import FederationError
from host.serving.job import Failed, Job


class QueueFull(FederationError):
    """The queue takes no more jobs; retry_after: seconds after which it may take one."""

    def __init__(self, length: int, retry_after: int) -> None:
        super().__init__(f"{length} requests wait already: try again in {retry_after} s")
        self.retry_after = retry_after


class JobQueue:
    """Jobs that wait for a slot of any cluster that holds the model.

    Clients take turns, and each one's jobs stay in order; if the queue is full, the client with
    the most jobs loses one. All methods may be called from any thread.
    """

    def __init__(self, most: int) -> None:
        """most: the number of jobs that may wait."""
        self.most = most
        self._changed = threading.Condition()
        self._returned: deque[Job] = deque()  # jobs of clusters that failed
        self._clients: OrderedDict[str, deque[Job]] = OrderedDict()  # in order of their turns
        self._length = 0
        self._seconds = 0.5  # the time that a job takes, smoothed
        self._is_closed = False

    def __len__(self) -> int:
        return self._length

    def put(self, job: Job) -> None:
        """Adds a job; if the queue is full, the last job of a client that has more fails instead.

        Raises QueueFull.
        """
        with self._changed:
            if self._length >= self.most:
                full = QueueFull(self._length, max(1, round(self._length * self._seconds)))
                last = self._give_way(job.client)
                if last is None:
                    raise full
                last.deliver(Failed(full))
            self._clients.setdefault(job.client, deque()).append(job)
            self._length += 1
            self._changed.notify()

    def put_back(self, jobs: list[Job]) -> None:
        """Adds jobs that had begun, before all others; these are never refused."""
        with self._changed:
            self._returned.extend(jobs)
            self._length += len(jobs)
            self._changed.notify_all()

    def take(self) -> Job | None:
        """Returns the next job that was not cancelled, None if there is none."""
        with self._changed:
            while self._length:
                job = self._next()
                if not job.is_cancelled:
                    return job
            return None

    def wait(self, timeout: float) -> bool:
        """Waits for a job, at most `timeout` seconds; returns whether there is one."""
        with self._changed:
            if not self._length and not self._is_closed:
                self._changed.wait(timeout)
            return self._length > 0

    def wake(self) -> None:
        """Ends the `wait` of other threads."""
        with self._changed:
            self._changed.notify_all()

    def cancel(self, job: Job) -> None:
        """Drops a job whose client is gone; one that runs ends at its next token."""
        with self._changed:
            job.is_cancelled = True
            jobs = self._clients.get(job.client)
            if jobs and job in jobs:
                jobs.remove(job)
                self._length -= 1
                if not jobs:
                    del self._clients[job.client]

    def note_duration(self, seconds: float) -> None:
        """Records how long a job took in its slot."""
        self._seconds += 0.2 * (seconds - self._seconds)

    def close(self, error: FederationError) -> None:
        """Fails all waiting jobs, and wakes all threads that wait for one."""
        with self._changed:
            self._is_closed = True
        while job := self.take():
            job.deliver(Failed(error))
        self.wake()

    def _give_way(self, client: str) -> Job | None:
        """Removes and returns the last job of the client with the most, if that leaves it at least
        as many as `client` will then have; else None."""
        longest = max(self._clients.values(), key=len, default=deque())
        if len(longest) < len(self._clients.get(client, ())) + 2:
            return None
        self._length -= 1
        return longest.pop()

    def _next(self) -> Job:
        self._length -= 1
        if self._returned:
            return self._returned.popleft()
        client, jobs = self._clients.popitem(last=False)
        job = jobs.popleft()
        if jobs:
            self._clients[client] = jobs  # behind all others
        return job
