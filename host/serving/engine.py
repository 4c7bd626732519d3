"""Runs a cluster: a thread that opens it, runs jobs on it, and opens it again when it fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing

from host.errors import ClusterError, FederationError
from host.generation.generator import Generator, Task
from host.generation.prompt_encoder import PromptEncoder
from host.launch import Chips, OpenCluster, open_cluster
from host.launch.chip_statistics import ChipStatistics
from host.model.loading import LoadedModel
from host.serving.calls import Calls
from host.serving.job import Done, Failed, Job, Piece
from host.serving.job_queue import JobQueue
from host.serving.observer import Observer
from host.serving.stand_ins import StandIns

_LOG = logging.getLogger("federation")

LOADING, READY, RECOVERING, FAILED, STOPPED = (
    "loading", "ready", "recovering", "failed", "stopped"
)  # fmt: skip
MOST_ATTEMPTS = 8  # at a job, without a token in between
FAILED_AFTER = 3  # times in a row that neither a cluster nor any stand-in could be opened
_IDLE = 0.5  # seconds after which an idle cluster looks for calls from other threads
# Seconds before the next attempt to open a cluster: after the first failure, and at most.
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 10.0


class Engine:
    """Runs a model's jobs on one cluster, in a thread of its own.

    state: LOADING until it is open for the first time, READY, RECOVERING while it is opened again,
    FAILED if that has failed FAILED_AFTER times (it keeps trying), STOPPED; error: why it last
    failed; restarts: how often it was opened again.
    """

    def __init__(
        self,
        name: str,
        source: LoadedModel,
        chips: Sequence[Chips],
        queue: JobQueue,
        observer: Observer,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        """source: a quantized model; chips: the cluster's own, then spares for when these are
        missing; pause(seconds): waits before the next attempt, or until the engine stops."""
        self.name, self.queue, self.observer = name, queue, observer
        self.state, self.error, self.restarts = LOADING, "", 0
        self.cluster: OpenCluster | None = None
        self.running: dict[Task, Job] = {}
        self._source = source
        self._stand_ins = StandIns(source.quantize(), chips[0], chips[1:])
        self._was_open = False
        self._stopping = threading.Event()
        self._pause = pause or self._stopping.wait
        self._calls = Calls()
        self._thread = threading.Thread(target=self._run, name=f"cluster {name}", daemon=True)

    def start(self) -> None:
        """Begins to open the cluster."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the token that is being computed; jobs that run fail."""
        self._stopping.set()
        self.queue.wake()

    def join(self) -> None:
        """Waits until the cluster is closed."""
        self._thread.join()

    def ask_statistics(self) -> Future[object]:
        """Asks chips for their counters between two tokens.

        Returns a future with a list of ChipStatistics.
        """
        future = self._calls.add(self._statistics, self._refusal)
        self.queue.wake()
        return future

    @property
    def note(self) -> str:
        """What is open in place of the cluster's own chips; "" if they are open themselves."""
        return self._stand_ins.current.note if self.cluster else ""

    def encoder(self) -> PromptEncoder:
        """Returns the encoder of prompts for this cluster. Raises ModelError."""
        context = self._stand_ins.current.chips.context
        return PromptEncoder(self._source, context, context or self._source.config.context)

    def _statistics(self) -> list[ChipStatistics]:
        assert self.cluster is not None
        return self.cluster.statistics(collect=False)

    def _refusal(self) -> ClusterError | None:
        """Returns why chips cannot be asked now, or None.

        The state changes before waiting calls are failed, so none is added after that.
        """
        return None if self.state == READY else ClusterError(f"the cluster is {self.state}")

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._open_and_serve()
            except FederationError as error:
                self._recover(error)
            except Exception as error:
                _LOG.exception("cluster %s: a fault of this program", self.name)
                self._recover(ClusterError(f"{type(error).__name__}: {error}"))
            finally:
                self.cluster = None
        self.state = STOPPED
        self._give_up(ClusterError("the server stops"))

    def _open_and_serve(self) -> None:
        """Opens the current chips, and runs jobs on them until they fail or the engine stops."""
        chips = self._stand_ins.current.chips
        with open_cluster(self._source.quantize(), chips, batch=True) as cluster:
            self._stand_ins.failures = 0
            self._serve(cluster)

    def _recover(self, error: FederationError) -> None:
        """Returns jobs to the queue, and chooses the next chips if these could not be opened.

        If all chips had their turn, waits before the cluster's own are tried again: each time in a
        row twice as long.
        """
        self.error = str(error)
        _LOG.warning("cluster %s: %s", self.name, error)
        has_next = self._stand_ins.advance()
        self.cluster = None
        failures = self._stand_ins.failures
        if failures >= FAILED_AFTER:
            self.state = FAILED
        elif self._was_open:
            self.state = RECOVERING
        self._return_jobs(error)
        self.observer.cluster_failed(self.name, self.error)
        if not has_next and not self._stopping.is_set():
            self._pause(min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (failures - 1)))

    def _return_jobs(self, error: FederationError) -> None:
        """Returns the jobs that ran to the queue, to go on wherever a slot is free."""
        returned = []
        for job in self.running.values():
            job.attempts += 1
            if job.attempts > MOST_ATTEMPTS:
                job.deliver(Failed(error))
            elif not job.is_cancelled:
                returned.append(job)
        self.running.clear()
        self.queue.put_back(returned)
        self._calls.fail(error)

    def _serve(self, cluster: OpenCluster) -> None:
        self.restarts += self._was_open
        self._was_open = True
        self.cluster, self.state = cluster, READY
        self.observer.cluster_opened(self.name, cluster, self.note)
        generator = Generator(cluster, self._source, self.encoder())
        while not self._stopping.is_set():
            if self.queue.wait(_IDLE):
                with closing(generator.run(self._tasks())) as run:
                    for task, piece in run:
                        self._pass_on(task, piece)
                        if self._stopping.is_set():
                            return
            self._calls.run()

    def _tasks(self) -> Iterator[Task | None]:
        """Yields a task for each free slot while there are any, None while there is none."""
        while True:
            self._calls.run()
            job = None if self._stopping.is_set() else self.queue.take()
            if job is None:
                yield None
                continue
            if job.task.chooser.is_done:  # the cluster failed after the job's last token
                self._finish(job)
                continue
            job.started = job.started or time.monotonic()
            self.running[job.task] = job
            self.observer.job_started(self.name, job)
            yield job.task

    def _pass_on(self, task: Task, piece: str | None) -> None:
        job = self.running[task]
        if piece is None:
            del self.running[task]
            self._deliver_end(job)
            return
        job.attempts, self._stand_ins.has_worked = 0, True
        self.observer.token(self.name, job)
        if piece:
            job.deliver(Piece(piece))
        if job.is_cancelled:
            task.chooser.end()

    def _finish(self, job: Job) -> None:
        """Delivers a job that has all of its tokens already."""
        if rest := job.task.finish():
            job.deliver(Piece(rest))
        self._deliver_end(job)

    def _deliver_end(self, job: Job) -> None:
        generation = job.task.result()
        self.queue.note_duration(time.monotonic() - job.started)
        self.observer.job_ended(self.name, job, generation)
        job.deliver(Done(generation))

    def _give_up(self, error: FederationError) -> None:
        for job in self.running.values():
            job.deliver(Failed(error))
        self.running.clear()
        self._calls.fail(error)
