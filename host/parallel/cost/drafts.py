"""Chooses the number of tokens to draft at a time with which text is modelled to come fastest."""

from __future__ import annotations

from collections.abc import Sequence

from host.hardware.board import Board
from host.parallel.cost.chip_times import NotModelled
from host.parallel.cost.latency import LatencyModel
from host.parallel.cost.traffic import widest_sums
from host.parallel.plan import Plan


def count_that_pays(plan: Plan, boards: Sequence[Board], yields: Sequence[float]) -> int:
    """Returns how many tokens to draft at a time, 0 if drafting does not pay.

    boards: that of each chip; yields: tokens that a pass gives on average with 0, 1, 2 ... drafts.
    Returns 0 if times cannot be modelled, as for simulated chips.
    """
    most = min(len(yields), plan.positions) - 1
    if len(boards) != plan.chips:
        return 0
    try:
        model = LatencyModel(plan, boards)
    except NotModelled:
        return 0
    rates = [yields[count] / _seconds(plan, model, 1 + count) for count in range(most + 1)]
    return rates.index(max(rates))


def _seconds(plan: Plan, model: LatencyModel, rows: int) -> float:
    """Returns the seconds of a pass of `rows` positions in the middle of the context, with the
    widest sums."""
    token = plan.strategy.synchronizations(plan, True, widest_sums(plan), rows)
    return model.latency(token, plan.context // 2, rows).total
