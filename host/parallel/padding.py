"""Finds plans with room for the padding of matrices, which depends on the boards' kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from host.errors import ModelError
from host.hardware.board import Board
from host.hardware.kernels import matrix_padding
from host.parallel.advice import find_nearest_count
from host.parallel.heap import usable_heap
from host.parallel.plan import Plan
from host.parallel.refusal import Advice, DoesNotFit
from host.parallel.resident import keep_resident


def fit_padding(
    make: Callable[[list[int], list[int]], Plan],
    heaps: list[int],
    flash: Sequence[int],
    boards: Sequence[Sequence[Board]],
) -> Plan:
    """Returns a plan for chips that also have room for the padding of their matrices, and to map
    them.

    How much padding there is depends on the plan, so plans are made with more and more bytes kept
    free until the padding fits.

    make(kept, spared): returns the plan with these bytes of each chip's heap and of its flash kept
    free; heaps: bytes of each chip's heap; flash: as in Shape; boards: those that each chip may
    be.
    """
    kept, spared = [0] * len(heaps), [0] * len(heaps)
    while True:
        plan = make(kept, spared)
        paddings = [{matrix_padding(board.chip) for board in boards[s.chip]} for s in plan.shards]
        filling = [
            max(plan.filling(shard, padding) for padding in paddings[shard.chip])
            for shard in plan.shards
        ]
        needs = [
            max(plan.flash_need(shard, padding) for padding in paddings[shard.chip])
            for shard in plan.shards
        ]
        over = [max(0, need - room) for need, room in zip(needs, flash, strict=False)]
        lacking = [
            plan.heap_need(shard).total + filling[shard.chip] > usable_heap(heaps[shard.chip])
            for shard in plan.shards
        ]
        wanted = [of + plan.mapping_bytes(s) for s, of in zip(plan.shards, filling, strict=True)]
        has_room = not any(lacking) or all(a <= b for a, b in zip(wanted, kept, strict=True))
        if has_room and not any(over):
            return keep_resident(plan, heaps, filling, needs, boards)
        kept = [max(a, b) for a, b in zip(wanted, kept, strict=True)]
        spared = [a + b for a, b in zip(spared, over or [0] * len(spared), strict=True)]


def try_advice(problem: DoesNotFit, plan_for: Callable[[int], Plan]) -> DoesNotFit:
    """Returns the problem, with advice on a number of chips that has room for the padding of
    matrices too; the first advice does not count padding.

    plan_for(chips): returns a plan, or raises ModelError.
    """

    def fits(count: int) -> bool:
        try:
            plan_for(count)
        except ModelError:
            return False
        return True

    def find() -> Advice:
        advice = problem.advice
        if advice.chips is None or fits(advice.chips):
            return advice
        return replace(advice, chips=find_nearest_count(advice.chips, fits))

    return DoesNotFit(find)
