"""Makes a Parallelism from the options --parallel, --stages, --reduce and --exchange."""

from __future__ import annotations

from dataclasses import replace

from host.errors import ParallelError
from host.parallel.parallelism import HEAP, STAGES_ALONE, Parallelism
from host.parallel.strategies import STRATEGIES

AUTO = "auto"
NAMES = tuple(dict.fromkeys(strategy.name for strategy in STRATEGIES))
CHOICES = (*NAMES, AUTO)
_DEFAULT = NAMES[0]  # if only --reduce is given


def parse_parallelism(
    parallel: str | None,
    stages: int | None,
    reduce: str | None,
    layers: int,
    chips: int,
    weights: str = HEAP,
    exchange: str | None = None,
) -> Parallelism | None:
    """Returns the parallelism that the options name, each None if not given; None if the planner
    is to choose.

    weights: where chips keep them, one of WEIGHTS. Raises ParallelError if options contradict each
    other.
    """
    for name, given in (("reduce", reduce), ("exchange", exchange)):
        if parallel == AUTO and given is not None:
            raise ParallelError(f"--parallel auto chooses who adds up too: leave --{name} out")
    if exchange is not None and (reduce == "host" or parallel not in (None, _DEFAULT)):
        raise ParallelError(
            f"--exchange {exchange} is for --parallel {_DEFAULT} with --reduce chips: give these,"
            " or leave it out"
        )
    if parallel is None and (reduce is not None or exchange is not None):
        parallel = _DEFAULT
    if parallel in (None, AUTO):
        if stages is not None:
            raise ParallelError(STAGES_ALONE)
        return None
    named = [strategy for strategy in STRATEGIES if strategy.name == parallel]
    if not named:
        raise ParallelError(f"no strategy {parallel!r}: it is {' or '.join(NAMES)}")
    for strategy in named:
        # --exchange implies that chips add up.
        if exchange is not None and (strategy.reduce, strategy.exchange) != ("chips", exchange):
            continue
        if reduce in (None, strategy.reduce):
            made = strategy.make_parallelism(layers, chips, stages)
            return replace(made, weights=weights)
    who = "chips" if named[0].reduce == "chips" else "host"
    raise ParallelError(
        f"--parallel {parallel}: the {who} add{'s' * (who == 'host')} up partial sums, leave"
        " --reduce out"
    )
