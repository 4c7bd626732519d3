"""Collects what the page shows of clusters while they work, as objects for JSON."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from host.cluster.dispatcher import Dispatcher
from host.generation.generator import Generation
from host.launch import OpenCluster
from host.launch.chip_statistics import ChipStatistics
from host.serving.activity import Activity, Span
from host.serving.engine import Engine
from host.serving.job import Job
from host.serving.observer import Observer
from host.serving.service import Service

_WINDOW = 3.0  # seconds over which tokens are counted
_MS = 1000


@dataclass
class _Watched:
    """An open cluster: its activity while watched, running jobs, the times of its last tokens, and
    how often each chip was seen to have restarted."""

    activity: Activity
    dispatcher: Dispatcher
    boots: dict[int, int]
    running: int = 0
    tokens: deque[float] = field(default_factory=lambda: deque(maxlen=4096))
    restarts: dict[int, int] = field(default_factory=dict)


class LiveView(Observer):
    """Keeps what clusters do, for viewers of the page.

    Messages are watched only while there is a viewer, because that takes time for each of them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._watched: dict[str, _Watched] = {}
        self._viewers = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watches messages while the context lasts."""
        self._count_viewer(1)
        try:
            yield
        finally:
            self._count_viewer(-1)

    def _count_viewer(self, change: int) -> None:
        with self._lock:
            self._viewers += change
            for watched in self._watched.values():
                self._watch(watched)

    def _watch(self, watched: _Watched) -> None:
        """Begins or stops to watch a cluster's messages."""
        if not self._viewers:
            watched.dispatcher.tap = None
        elif watched.dispatcher.tap is None:
            chips = list(watched.activity.states)
            watched.dispatcher.tap = watched.activity = Activity(chips, self._clock)

    def cluster_opened(self, name: str, cluster: OpenCluster, note: str) -> None:
        dispatcher = cluster.coordinator.dispatcher
        activity = Activity(list(range(cluster.executor.plan.chips)), self._clock)
        watched = _Watched(activity, dispatcher, dict(cluster.coordinator.boot_ids))
        with self._lock:
            self._watched[name] = watched
            self._watch(watched)

    def cluster_failed(self, name: str, error: str) -> None:
        with self._lock:
            self._watched.pop(name, None)

    def job_started(self, name: str, job: Job) -> None:
        if watched := self._watched.get(name):
            watched.running += 1
            watched.activity.begin()

    def token(self, name: str, job: Job) -> None:
        if watched := self._watched.get(name):
            watched.activity.complete_token()
            with self._lock:
                watched.tokens.append(self._clock())

    def job_ended(self, name: str, job: Job, generation: Generation) -> None:
        if watched := self._watched.get(name):
            watched.running -= 1
            if not watched.running:
                watched.activity.rest()

    def snapshot(self, service: Service, chips: dict[str, list[ChipStatistics]]) -> dict[str, Any]:
        """Returns what the page shows now; chips: counters by cluster, as far as there are any."""
        clusters = []
        for model in service.models.values():
            for engine in model.engines:
                shown = self._cluster(engine, chips.get(engine.name, []))
                clusters.append({"model": model.name, **shown})
        return {"clusters": clusters, "waiting": service.waiting}

    def _cluster(self, engine: Engine, chips: list[ChipStatistics]) -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": engine.name, "state": engine.state, "error": engine.error,
            "note": engine.note, "restarts": engine.restarts, "running": len(engine.running),
            "chips": [], "tokens_per_second": 0.0, "token": None,
        }  # fmt: skip
        cluster, watched = engine.cluster, self._watched.get(engine.name)
        if not cluster or not watched:
            return found
        self._note_boots(watched, cluster.coordinator.boot_ids)
        counters = {chip.chip: chip.as_dict() for chip in chips}
        found["parallelism"] = cluster.choice.describe()
        found["is_simulated"] = cluster.is_simulated
        found["recoveries"] = cluster.executor.recoveries
        found["tokens_per_second"] = round(self._rate(watched), 1)
        found["chips"] = [
            {
                "id": chip, "state": state, "restarts": watched.restarts.get(chip, 0),
                **counters.get(chip, {}),
            }
            for chip, state in watched.activity.states.copy().items()
        ]  # fmt: skip
        if last := watched.activity.last:
            spans = [_in_milliseconds(span, last.start) for span in last.spans]
            found["token"] = {"ms": round(_MS * last.seconds, 2), "spans": spans}
        return found

    def _rate(self, watched: _Watched) -> float:
        now = self._clock()
        with self._lock:
            while watched.tokens and watched.tokens[0] < now - _WINDOW:
                watched.tokens.popleft()
            return len(watched.tokens) / _WINDOW

    def _note_boots(self, watched: _Watched, boots: dict[int, int]) -> None:
        for chip, boot in boots.items():
            if watched.boots.get(chip) != boot:
                watched.restarts[chip] = watched.restarts.get(chip, 0) + (chip in watched.boots)
                watched.boots[chip] = boot


def _in_milliseconds(span: Span, start: float) -> list[Any]:
    times = (round(_MS * (time - start), 2) for time in (span.start, span.end))
    return [span.chip, span.label, *times]
