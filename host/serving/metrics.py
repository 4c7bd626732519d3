"""/metrics for Prometheus, under llama-server's names where they fit, and the chips' counters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from host.generation.generator import Generation
from host.launch import OpenCluster
from host.launch.airtime import model_airtime
from host.launch.chip_statistics import ChipStatistics
from host.serving.chip_counters import ChipCounters, Counters
from host.serving.engine import READY
from host.serving.job import Job
from host.serving.observer import Observer
from host.serving.service import Service

# Counters of a cluster and of a chip: our name, a description, and the figure.
_CLUSTER_COUNTERS: tuple[tuple[str, str, Callable[[OpenCluster], float]], ...] = (
    ("recoveries", "KV caches computed again", lambda cluster: cluster.executor.recoveries),
    ("resends", "requests retransmitted", lambda cluster: cluster.coordinator.resends),
    ("exchanged_bytes", "between host and chips", lambda cluster: cluster.exchanged_bytes),
)
_CHIP_COUNTERS: tuple[tuple[str, str, Callable[[ChipStatistics], float]], ...] = (
    ("frames_sent", "frames sent on all links", lambda chip: chip.frames_sent),
    ("frames_received", "frames received on all links", lambda chip: chip.frames_received),
    ("bytes_sent", "bytes sent on all links", lambda chip: chip.bytes_sent),
    ("bytes_received", "bytes received on all links", lambda chip: chip.bytes_received),
    ("frames_dropped", "malformed or foreign frames", lambda chip: chip.frames_dropped),
    ("resends", "answers retransmitted", lambda chip: chip.answers_retransmitted),
)  # fmt: skip
Measure = Callable[[OpenCluster, list[ChipStatistics]], dict[int, float]]


def _times_at_work(cluster: OpenCluster, statistics: list[ChipStatistics]) -> dict[int, float]:
    answering = cluster.coordinator.answering
    return {chip.chip: chip.busy_ms / 1000 or answering.get(chip.chip, 0.0) for chip in statistics}


_CHIP_SECONDS: tuple[tuple[str, str, Measure], ...] = (
    ("busy", "time at work: as a chip of a pipeline measures it, else from requests to its"
     " answers", _times_at_work),
    ("airtime", "time that its frames took on the air, modelled at its boards' rate",
     model_airtime),
)  # fmt: skip


class Metrics(Observer):
    """Counts what clusters do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.prompt_tokens = self.tokens = self.generations = self.refused = self.failures = 0
        self.predict_seconds = 0.0
        self.rate = 0.0  # tokens per second of the last generation

    def cluster_failed(self, name: str, error: str) -> None:
        with self._lock:
            self.failures += 1

    def job_ended(self, name: str, job: Job, generation: Generation) -> None:
        with self._lock:
            self.prompt_tokens += len(generation.prompt_tokens)
            self.tokens += len(generation.tokens)
            self.generations += 1
            self.refused += bool(generation.refused)
            self.predict_seconds += generation.statistics.seconds
            self.rate = generation.statistics.tokens_per_second

    def routes(self, service: Service, counters: ChipCounters) -> list[Route]:
        """Returns the endpoint."""

        async def show(request: Request) -> Response:
            chips = await counters.ask()
            registry = CollectorRegistry()
            registry.register(_Collector(self, service, chips))
            return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

        return [Route("/metrics", show)]


class _Collector:
    """Collects the figures of one scrape."""

    def __init__(self, metrics: Metrics, service: Service, chips: Counters) -> None:
        self._metrics, self._service, self._chips = metrics, service, chips

    def collect(self) -> Iterator[Any]:
        metrics, models = self._metrics, self._service.models.values()
        running = sum(len(engine.running) for engine in self._service.engines)
        counters = (
            ("llamacpp:prompt_tokens", "tokens of prompts", metrics.prompt_tokens),
            ("llamacpp:tokens_predicted", "tokens generated", metrics.tokens),
            ("llamacpp:tokens_predicted_seconds", "time of generating, from each text's first "
             "token on", metrics.predict_seconds),
            ("federation_generations", "texts that came to an end", metrics.generations),
            ("federation_refused", "answers in whose place a refusal stands", metrics.refused),
            ("federation_cluster_failures", "times that a cluster failed", metrics.failures),
        )  # fmt: skip
        gauges = (
            ("llamacpp:predicted_tokens_seconds", "tokens a second of the last text",
             metrics.rate),
            ("llamacpp:requests_processing", "requests in a slot", running),
            ("llamacpp:requests_deferred", "requests in the queue",
             self._service.waiting),
            ("federation_slots", "texts that can be generated at a time",
             sum(model.slots for model in models)),
        )  # fmt: skip
        for name, what, value in counters:
            yield CounterMetricFamily(name, what, value=value)
        for name, what, value in gauges:
            yield GaugeMetricFamily(name, what, value=value)
        yield from self._clusters()
        yield from self._each_chip()

    def _clusters(self) -> Iterator[Any]:
        engines = self._service.engines
        ready = GaugeMetricFamily(
            "federation_cluster_ready", "1 while it works", labels=["cluster"]
        )
        restarts = CounterMetricFamily(
            "federation_cluster_restarts", "times that it was opened again", labels=["cluster"]
        )
        stand_in = GaugeMetricFamily(
            "federation_cluster_stands_in",
            "1 while spares, or fewer chips than it has, are open in its place",
            labels=["cluster"],
        )
        opened = [(engine.name, engine.cluster) for engine in engines if engine.cluster]
        for engine in engines:
            ready.add_metric([engine.name], float(engine.state == READY))
            restarts.add_metric([engine.name], engine.restarts)
            stand_in.add_metric([engine.name], float(bool(engine.note)))
        yield ready
        yield stand_in
        yield restarts
        for name, what, figure in _CLUSTER_COUNTERS:
            family = CounterMetricFamily(f"federation_{name}", what, labels=["cluster"])
            for own, cluster in opened:
                family.add_metric([own], figure(cluster))
            yield family

    def _seconds(
        self, name: str, what: str, labels: list[str], measure: Measure
    ) -> CounterMetricFamily:
        """Returns a counter of seconds for every chip whose cluster is open."""
        family = CounterMetricFamily(f"federation_chip_{name}_seconds", what, labels=labels)
        for engine in self._service.engines:
            if cluster := engine.cluster:
                times = measure(cluster, self._chips.get(engine.name, []))
                for chip, seconds in times.items():
                    family.add_metric([engine.name, str(chip)], seconds)
        return family

    def _each_chip(self) -> Iterator[Any]:
        labels = ["cluster", "chip"]
        heap = GaugeMetricFamily("federation_chip_heap_free_bytes", "free heap", labels=labels)
        families = []
        for name, what, figure in _CHIP_COUNTERS:
            family = CounterMetricFamily(f"federation_chip_{name}", what, labels=labels)
            families.append((family, figure))
        for own, chips in self._chips.items():
            for chip in chips:
                heap.add_metric([own, str(chip.chip)], chip.heap_free)
                for family, figure in families:
                    family.add_metric([own, str(chip.chip)], figure(chip))
        for name, what, measure in _CHIP_SECONDS:
            yield self._seconds(name, what, labels, measure)
        yield heap
        for family, _ in families:
            yield family
