"""Chooses how much of a chip's heap keeps matrices of its flash, so that they need not be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from host.hardware.board import Board
from host.parallel.distribution import GROWTH_LEAVES
from host.parallel.flash import resident_entries
from host.parallel.heap import usable_heap
from host.parallel.parallelism import ANYWHERE, FLASH_MAPPED
from host.parallel.plan import Plan, Shard
from protocol.shard_layout import VECTORS

# The fewest bytes of heap that are filled with weights from flash: fewer save too little, and are
# better left for transient objects; and the bytes lost between such large buffers.
_LEAST_RESIDENT, _BETWEEN = 1 << 19, 1 << 17


def keep_resident(
    plan: Plan,
    heaps: Sequence[int],
    filling: Sequence[int],
    needs: Sequence[int],
    boards: Sequence[Sequence[Board]],
) -> Plan:
    """Returns the plan with some matrices of the flash kept in what it leaves of large heaps.

    heaps: bytes of each chip's; filling, needs: bytes of each shard's padding, and of its flash;
    boards: those that each chip may be.
    """
    weights = plan.parallelism.weights
    if weights not in (ANYWHERE, FLASH_MAPPED) or not any(needs):
        return plan

    def room(shard: Shard) -> int:
        if weights == FLASH_MAPPED and not all(map(_has_faster_heap, boards[shard.chip])):
            return 0
        left = usable_heap(heaps[shard.chip]) - GROWTH_LEAVES - _BETWEEN - filling[shard.chip]
        config = plan.stage_of(shard.chip).shape.config
        sizes, elements = plan.local_sizes(shard), len(shard.elements)
        left -= plan.heap_need(shard).total + resident_entries(config, sizes, elements)
        return min(left, needs[shard.chip]) & -VECTORS if left >= _LEAST_RESIDENT else 0

    return replace(plan, resident=tuple(map(room, plan.shards)))


def _has_faster_heap(board: Board) -> bool:
    """Returns whether a board reads its PSRAM faster than flash that is mapped."""
    mapped = board.flash.map_rate if board.flash else None
    return bool(board.psram_kb and board.psram_rate and mapped and board.psram_rate > mapped)
