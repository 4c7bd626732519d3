"""Generates texts despite lost frames and restarts."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from bench.faults.cases import PROMPT, STEPS, Case, expected_text
from bench.virtual.cluster import VirtualCluster
from host.errors import ClusterError

# Milliseconds until a restarted chip is ready: a simulated one, and boards that load their shards.
_READY_MS = (50, 300, 2_500, 5_000)


@dataclass(frozen=True)
class Outcome:
    """Whether a text was the reference's, and the virtual seconds that it took."""

    is_equal: bool
    seconds: float
    error: str = ""


def run_text(cluster: VirtualCluster, before: object = None) -> Outcome:
    """Generates the text, and compares it."""
    began = cluster.world.seconds()
    try:
        tokens = cluster.generate(PROMPT, STEPS, before)
    except ClusterError as error:
        return Outcome(False, cluster.world.seconds() - began, str(error))
    return Outcome(tuple(tokens) == expected_text(), cluster.world.seconds() - began)


def run_with_loss(case: Case, loss: float, seed: int) -> Outcome:
    """Runs a text on links that lose frames with this probability."""
    try:
        with case.open(loss=loss, seed=seed) as cluster:
            return run_text(cluster)
    except ClusterError as error:  # of its start
        return Outcome(False, 0.0, str(error))


def run_with_restart(case: Case, number: int) -> Outcome:
    """Runs a text in which a chip restarts; `number` determines which one, when, and for how
    long."""
    random = Random(f"{case}/{number}")
    chip, position = random.randrange(case.chips), random.randrange(len(PROMPT) + 1, STEPS)
    late, ready = random.randrange(40), random.choice(_READY_MS)
    again = random.random() < 0.2  # the same chip once more, at once
    with case.open(seed=number) as cluster:

        def before(at: int) -> None:
            if at == position:
                world, restarted = cluster.world, cluster.chips[chip]
                world.later(late, lambda: restarted.restart(ready))
                if again:
                    world.later(late + 150, lambda: restarted.restart(ready))

        return run_text(cluster, before)
