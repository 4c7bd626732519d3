"""The registry of strategies to divide a model: one module each, in the order in which users see
them."""

from __future__ import annotations

from host.errors import ParallelError
from host.parallel.parallelism import ALL_REDUCED, Parallelism
from host.parallel.plan import Strategy
from host.parallel.strategies import all_gather, all_reduce, host_reduce, hybrid, pipeline

STRATEGIES: tuple[Strategy, ...] = tuple(
    module.STRATEGY for module in (host_reduce, all_reduce, all_gather, pipeline, hybrid)
)


def find_strategy(parallelism: Parallelism) -> Strategy:
    """Returns the strategy of a parallelism. Raises ParallelError if there is none."""
    for strategy in STRATEGIES:
        made = strategy.name, strategy.reduce, strategy.exchange
        if made == (parallelism.strategy, parallelism.reduce, parallelism.exchange):
            return strategy
    exchange = "" if parallelism.exchange == ALL_REDUCED else f", by {parallelism.exchange}"
    raise ParallelError(
        f"no strategy {parallelism.strategy!r} in which partial sums are added up by"
        f" {parallelism.reduce!r}{exchange}"
    )


def list_candidates(layers: int, chips: int, dim: int = 0) -> list[Parallelism]:
    """Returns the parallelisms to consider for a model with `layers` layers and a residual stream
    of `dim` elements, on `chips` chips."""
    wide_enough = [strategy for strategy in STRATEGIES if dim >= strategy.narrowest]
    return [each for one in wide_enough for each in one.candidates(layers, chips)]
