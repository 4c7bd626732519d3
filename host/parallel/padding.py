"""Finds plans with room for the padding of matrices, which depends on the boards' kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from host.errors import ModelError
from host.hardware.board import Board
from host.hardware.kernels import matrix_padding
from host.parallel.advice import find_largest_context, find_nearest_count, useful_context
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


def try_advice(
    problem: DoesNotFit,
    with_chips: Callable[[int], Plan],
    with_context: Callable[[int], Plan],
    with_lines: Callable[[], Plan],
) -> DoesNotFit:
    """Returns the problem, with advice that has room for the padding of matrices too; the first
    advice does not count padding.

    with_chips(chips), with_context(positions), with_lines(): each returns the plan with that
    instead, the last one over serial lines, or raises ModelError.
    """

    def find() -> Advice:
        advice = problem.advice
        chips, context = advice.chips, advice.context
        if chips is not None and not _has_plan(with_chips, chips):
            chips = find_nearest_count(chips, partial(_has_plan, with_chips))
        if context is not None and not _has_plan(with_context, context):
            context = find_largest_context(context, partial(_has_plan, with_context))
            context = useful_context(context)
        uart_helps = advice.uart_helps and _has_plan(with_lines)
        return replace(advice, chips=chips, context=context, uart_helps=uart_helps)

    return DoesNotFit(find)


def _has_plan(make: Callable[..., Plan], *given: int) -> bool:
    try:
        make(*given)
    except ModelError:
        return False
    return True
