"""A Parallelism from the options of a command line: --parallel, --stages, --reduce."""

from __future__ import annotations

from dataclasses import replace

from host.errors import ParallelError
from host.parallel.parallelism import HEAP, Parallelism
from host.parallel.strategies import STRATEGIES

AUTO = "auto"
NAMES = tuple(dict.fromkeys(strategy.name for strategy in STRATEGIES))
CHOICES = (*NAMES, AUTO)
_DEFAULT = NAMES[0]  # where only --reduce is given


def parse_parallelism(
    parallel: str | None,
    stages: int | None,
    reduce: str | None,
    layers: int,
    chips: int,
    weights: str = HEAP,
) -> Parallelism | None:
    """The one that options name, each None where it is not given; None where the planner is to
    choose. weights: where chips keep them, one of WEIGHTS.

    Raises ParallelError where they contradict each other.
    """
    if parallel == AUTO and reduce is not None:
        raise ParallelError("--parallel auto chooses who adds up too: leave --reduce out")
    if parallel is None and reduce is not None:
        parallel = _DEFAULT
    if parallel in (None, AUTO):
        if stages is not None:
            raise ParallelError("--stages is for --parallel hybrid")
        return None
    named = [strategy for strategy in STRATEGIES if strategy.name == parallel]
    if not named:
        raise ParallelError(f"no strategy {parallel!r}: it is {' or '.join(NAMES)}")
    for strategy in named:
        if reduce in (None, strategy.reduce):
            made = strategy.make_parallelism(layers, chips, stages)
            return replace(made, weights=weights)
    who = "chips" if named[0].reduce == "chips" else "host"
    raise ParallelError(
        f"--parallel {parallel}: the {who} add{'s' * (who == 'host')} up partial sums, leave"
        " --reduce out"
    )
