"""A Parallelism from the options of a command line: --parallel, --stages, --reduce."""

from __future__ import annotations

from host.errors import ParallelError
from host.parallel.parallelism import STRATEGIES, Parallelism, hybrid, pipeline
from host.parallel.strategies.hybrid import DEFAULT_STAGES
from host.parallel.strategies.pipeline import count_stages

AUTO = "auto"
CHOICES = (*STRATEGIES, AUTO)


def parse_parallelism(
    parallel: str | None, stages: int | None, reduce: str | None, layers: int, chips: int
) -> Parallelism | None:
    """The one that options name, each None where it is not given; None where the planner is to
    choose.

    Raises ParallelError where they contradict each other.
    """
    if stages is not None and parallel != "hybrid":
        raise ParallelError("--stages is for --parallel hybrid")
    if parallel == AUTO and reduce is not None:
        raise ParallelError("--parallel auto chooses who adds up too: leave --reduce out")
    if parallel in ("pipeline", "hybrid") and reduce == "host":
        raise ParallelError(f"--parallel {parallel}: its chips add up by themselves, leave"
                            " --reduce out")  # fmt: skip
    if parallel == "pipeline":
        return pipeline(count_stages(layers, chips))
    if parallel == "hybrid":
        return hybrid(DEFAULT_STAGES if stages is None else stages)
    if parallel == "tensor" or reduce is not None:
        return Parallelism(reduce=reduce or "host")
    return None
