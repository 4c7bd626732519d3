"""Long runs on simulated chips, to see whether memory use grows."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from bench.faults.cases import LINKS, PROMPT, STRATEGIES
from bench.virtual.model import CONFIG, small_model
from host.launch import SimulatedChips, open_cluster
from host.launch.cluster import OpenCluster

_TEXT = CONFIG.context - 4  # tokens of a sequence


@dataclass(frozen=True)
class Growth:
    """What a run of so many tokens has left behind. heap: bytes of the fullest chip's heap, after
    garbage collection; blocks: of the host's memory, allocated by CPython."""

    tokens: int
    heap: int
    blocks: int


def run_long(strategy: str, link: str, tokens: int) -> Growth:
    """Runs one sequence after another, with signed frames, and compares memory use after a tenth
    of them and at the end."""
    parallelism, chips = STRATEGIES[strategy]
    settings = SimulatedChips.alike(chips, LINKS[link][0], signed=True, parallelism=parallelism)
    with open_cluster(small_model(), settings) as cluster:
        cluster.executor.greedy = True
        run = _generate(cluster)
        before = (0, 0)
        for count in range(tokens):
            next(run)
            if count == tokens // 10:
                before = _measure(cluster)
        heap, blocks = (now - then for now, then in zip(_measure(cluster), before, strict=True))
    return Growth(tokens, heap, blocks)


def _generate(cluster: OpenCluster) -> Iterator[None]:
    """Runs one token after another, without end."""
    while True:
        cluster.executor.begin()
        logits = cluster.executor.forward(PROMPT)
        for _ in range(_TEXT - len(PROMPT)):
            logits = cluster.executor.forward([int(logits.argmax())])
            yield


def _measure(cluster: OpenCluster) -> tuple[int, int]:
    heap = max(chip.heap_used for chip in cluster.coordinator.statistics(collect=True).values())
    gc.collect()
    return heap, sys.getallocatedblocks()
