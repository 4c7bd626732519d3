"""Chooses how much of a chip's heap keeps matrices of its flash, so that they need not be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from host.hardware.board import Board
from host.parallel.distribution import GROWTH_LEAVES
from host.parallel.flash import CHUNKS, ahead_bytes, resident_entries
from host.parallel.heap import usable_heap
from host.parallel.parallelism import ANYWHERE, FLASH_MAPPED
from host.parallel.plan import Plan, Shard
from protocol.shard_layout import VECTORS

# The fewest bytes of heap that are filled with weights from flash: fewer save too little, and are
# better left for transient objects; and the bytes lost between such large buffers, which have room
# for small objects, also those of native exchanges (firmware/compute/exchange_blocks.py).
_LEAST_RESIDENT, _BETWEEN = 1 << 19, 1 << 17
_FILLED = 20  # bytes that padding adds to a row at most


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

    def fill(shard: Shard) -> tuple[int, int]:
        maps = weights == FLASH_MAPPED
        if maps and not all(map(_has_faster_heap, boards[shard.chip])):
            return 0, 0
        left = usable_heap(heaps[shard.chip]) - GROWTH_LEAVES - _BETWEEN - filling[shard.chip]
        config = plan.stage_of(shard.chip).shape.config
        sizes, elements = plan.local_sizes(shard), len(shard.elements)
        left -= plan.heap_need(shard).total + resident_entries(config, sizes, elements)
        need, rest = needs[shard.chip], left - ahead_bytes(plan.block(shard.chip))
        if left >= (_LEAST_RESIDENT if maps else max(need, _LEAST_RESIDENT)):
            return min(left, need) & -VECTORS, 0
        return (rest & -VECTORS, CHUNKS) if rest >= _LEAST_RESIDENT else (0, 0)

    resident, ahead = zip(*map(fill, plan.shards), strict=True)
    # What some chips lack room for they all wait for. (A chip that keeps all reads nothing ahead.)
    rows = (plan.config.dim + _FILLED) * max(len(shard.rows) for shard in plan.shards)
    kept = zip(resident, needs, ahead, strict=True)
    rows_first = all(count or size >= need & -VECTORS for size, need, count in kept)
    rows_first = rows_first and any(ahead) and min(resident) >= rows
    return replace(plan, resident=resident, ahead=ahead, rows_first=rows_first)


def may_be_placed(plan: Plan, chip: int, padding: int) -> bool:
    """Returns whether all matrices of a chip's flash may get addresses of their own, mapped or
    resident, so that it can run programs (firmware/compute/placed.py); padding: of its matrices
    (protocol/shard_layout.py)."""
    if not plan.block(chip):
        return False
    need = plan.flash_need(plan.shards[chip], padding) & -VECTORS
    return plan.maps(chip) or plan.resident_room(chip) >= need


def _has_faster_heap(board: Board) -> bool:
    """Returns whether a board reads its PSRAM faster than flash that is mapped."""
    mapped = board.flash.map_rate if board.flash else None
    return bool(board.psram_kb and board.psram_rate and mapped and board.psram_rate > mapped)
