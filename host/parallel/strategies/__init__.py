"""The strategies, by which models are divided: one module each, in the order in which users see
them."""

from __future__ import annotations

from host.errors import ParallelError
from host.parallel.parallelism import Parallelism
from host.parallel.plan import Strategy
from host.parallel.strategies import all_reduce, host_reduce, hybrid, pipeline

STRATEGIES: tuple[Strategy, ...] = tuple(
    module.STRATEGY for module in (host_reduce, all_reduce, pipeline, hybrid)
)


def find_strategy(parallelism: Parallelism) -> Strategy:
    """The strategy that divides a model so. Raises ParallelError where there is none."""
    for strategy in STRATEGIES:
        if (strategy.name, strategy.reduce) == (parallelism.strategy, parallelism.reduce):
            return strategy
    raise ParallelError(
        f"no strategy {parallelism.strategy!r} in which partial sums are added up by"
        f" {parallelism.reduce!r}"
    )


def list_candidates(layers: int, chips: int) -> list[Parallelism]:
    """What is worth considering for a model of so many layers on so many chips."""
    return [each for one in STRATEGIES for each in one.candidates(layers, chips)]
