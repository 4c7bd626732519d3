"""The queue of a model's jobs: bounded, and fair between clients."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque

from host.errors import FederationError
from host.serving.job import Failed, Job


class QueueFull(FederationError):
    """No job can be taken; retry_after: seconds after which one may be."""

    def __init__(self, length: int, retry_after: int) -> None:
        super().__init__(f"{length} requests wait already: ask again in {retry_after} s")
        self.retry_after = retry_after


class JobQueue:
    """Jobs that wait for a slot of any cluster that holds the model.

    Clients take turns, and each one's jobs come in their order; who has most of them gives way
    where there is no room. Threads may call everything.
    """

    def __init__(self, most: int) -> None:
        """most: jobs that may wait."""
        self.most = most
        self._changed = threading.Condition()
        self._returned: deque[Job] = deque()  # of clusters that failed
        self._clients: OrderedDict[str, deque[Job]] = OrderedDict()  # the next one's turn first
        self._length = 0
        self._seconds = 0.5  # that a job takes, smoothed
        self._is_closed = False

    def __len__(self) -> int:
        return self._length

    def put(self, job: Job) -> None:
        """Has a job wait for its turn, in the place of the last one of a client that has
        more where there is no room; that one fails. Raises QueueFull."""
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
        """Has jobs that had begun go on before all others; these are never refused."""
        with self._changed:
            self._returned.extend(jobs)
            self._length += len(jobs)
            self._changed.notify_all()

    def take(self) -> Job | None:
        """Returns the next job that somebody still waits for, None where there is none."""
        with self._changed:
            while self._length:
                job = self._next()
                if not job.is_cancelled:
                    return job
            return None

    def wait(self, timeout: float) -> bool:
        """Waits until a job is there, or the timeout; whether one is."""
        with self._changed:
            if not self._length and not self._is_closed:
                self._changed.wait(timeout)
            return self._length > 0

    def wake(self) -> None:
        """Ends a `wait` that is going on."""
        with self._changed:
            self._changed.notify_all()

    def cancel(self, job: Job) -> None:
        """Forgets a job for which nobody waits any more; one that runs ends at its next token."""
        with self._changed:
            job.is_cancelled = True
            jobs = self._clients.get(job.client)
            if jobs and job in jobs:
                jobs.remove(job)
                self._length -= 1
                if not jobs:
                    del self._clients[job.client]

    def note_duration(self, seconds: float) -> None:
        """Takes in how long a job took in its slot."""
        self._seconds += 0.2 * (seconds - self._seconds)

    def close(self, error: FederationError) -> None:
        """Fails all jobs that wait, and wakes whoever waits for one."""
        with self._changed:
            self._is_closed = True
        while job := self.take():
            job.deliver(Failed(error))
        self.wake()

    def _give_way(self, client: str) -> Job | None:
        """Takes the last job of whoever has most, where that leaves them as many as the client
        will then have."""
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
