"""Estimates how fast a plan would be on boards, from shapes alone, without running the model."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from host.parallel.boards import BoardSet
from host.parallel.cost.chip_times import NotModelled
from host.parallel.cost.latency import Latency, LatencyModel
from host.parallel.cost.reading import read_weights
from host.parallel.cost.traffic import widest_sums
from host.parallel.plan import Plan
from host.parallel.synchronization import Widths
from protocol.messages import PHASE_VOCABULARY

PROMPT = 32  # tokens of the prompt whose first answer is estimated
_LIMITS = {
    "compute": "instructions", "reading": "reading weights", "lines": "serial lines",
    "air": "the air", "waits": "waits",
}  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """An estimate of a plan. latency: of a token halfway through the context; first_token: seconds
    from a prompt of PROMPT tokens to the first token of the answer; places: where weights are."""

    plan: Plan
    latency: Latency
    first_token: float
    places: tuple[str, ...]

    @property
    def options(self) -> str:
        """The command-line options that ask for the plan's strategy."""
        return self.plan.strategy.describe_options(self.plan.parallelism)

    @property
    def limit(self) -> str:
        """What takes most of a token's time, in words."""
        return describe_limit(self.latency)


def describe_limit(latency: Latency) -> str:
    """Returns what takes most of a token's time, in words."""
    return _LIMITS[max(_LIMITS, key=lambda name: float(getattr(latency, name)))]


def estimate(plan: Plan, boards: BoardSet, widths: Widths | None = None) -> Estimate:
    """Returns the estimate of a plan; widths: of its sums, by default as wide as the plan provides
    for. Raises NotModelled."""
    widths = widths or widest_sums(plan)
    times = LatencyModel(plan, boards.boards, boards.kernels)
    token = plan.strategy.synchronizations(plan, True, widths)
    places = dict.fromkeys(
        read.place
        for chip, board in enumerate(boards.boards)
        for read in read_weights(plan, chip, board)
        if read.bytes
    )
    return Estimate(
        plan,
        times.latency(token, plan.context // 2),
        model_first_token(plan, times, widths),
        tuple(places),
    )


def model_first_token(plan: Plan, times: LatencyModel, widths: Widths) -> float:
    """Returns the seconds that a prompt of PROMPT tokens takes, with as many in each request as
    the plan allows. Only the last request is scored."""

    @cache  # all requests but the last are alike
    def request(rows: int, is_last: bool) -> float:
        token = plan.strategy.synchronizations(plan, True, widths, rows)
        if not is_last:
            token = [each for each in token if each.phase != PHASE_VOCABULARY]
        return times.latency(token, PROMPT // 2, rows).total

    seconds, left = 0.0, min(PROMPT, plan.context)
    while left:
        rows = min(plan.positions, left)
        left -= rows
        seconds += request(rows, not left)
    return seconds


def find_fastest(plans: Iterable[Plan], boards: BoardSet) -> Estimate | None:
    """Returns the estimate of the fastest plan, None if times cannot be modelled."""
    found = []
    with suppress(NotModelled):
        found = [estimate(plan, boards) for plan in plans]
    return min(found, key=lambda each: each.latency.total, default=None)
