"""Models where each chip's weights are read from for a token, how many bytes, and how fast.

Weights in internal RAM cost no more than the instructions that multiply with them. From PSRAM they
come through the cache, and from a flash partition by the driver, at rates that boards' files give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from host.hardware.board import Board
from host.parallel.flash import split_resident
from host.parallel.plan import Plan
from host.parallel.synchronization import (
    FINISHED_ATTENTION,
    FINISHED_FEED_FORWARD,
    GATHERED_HEADS,
    GATHERED_UNITS,
    Synchronization,
)
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY

# Phases whose matrices are those of one, where chips exchange by all-gather.
_PARTS = {
    PHASE_ATTENTION: (PHASE_ATTENTION, GATHERED_HEADS, FINISHED_ATTENTION),
    PHASE_FEED_FORWARD: (PHASE_FEED_FORWARD, GATHERED_UNITS, FINISHED_FEED_FORWARD),
}
RAM, PSRAM, FLASH = "RAM", "PSRAM", "flash"


@dataclass(frozen=True)
class Reading:
    """Of one chip from one place. place: RAM, PSRAM or FLASH; bytes: of weights that a token
    passes, at one position; rate: bytes a second, None where reading takes no time of its own, or
    none is known."""

    place: str
    bytes: int
    rate: int | None

    @property
    def seconds(self) -> float:
        """The seconds that reading takes."""
        return self.bytes / self.rate if self.rate else 0.0


def describe_reading(chips: Sequence[Reading]) -> str:
    """What chips read from the same place, at the same rate: "flash, 83 to 101 KB a token at
    6.7 MB/s (modelled)"."""
    place, rate = chips[0].place, chips[0].rate
    sizes = sorted({round(of.bytes / 1024) for of in chips})
    amount = " to ".join(f"{size:,}" for size in dict.fromkeys((sizes[0], sizes[-1])))
    at = f" at {rate / 1e6:.1f} MB/s (modelled)" if rate else ""
    return f"{place}, {amount} KB a token{at}"


def weights_place(plan: Plan, chip: int, board: Board) -> tuple[str, int | None]:
    """Where a chip's weights are, but for those that are resident, and the rate at which they are
    read from there."""
    if plan.block(chip):
        return FLASH, board.flash.read_rate if board.flash else None
    return _heap_place(board)


def _heap_place(board: Board) -> tuple[str, int | None]:
    if board.psram_kb and board.fixed_heap is None and not board.is_simulated:
        return PSRAM, board.psram_rate
    return RAM, None


def phase_bytes(plan: Plan, chip: int, each: Synchronization) -> int:
    """Bytes of weights that a chip multiplies with in a synchronization, at one position."""
    if chip not in plan.group(each.layer):
        return 0
    shard, dim = plan.shards[chip], plan.config.dim
    sizes = plan.local_sizes(shard)
    if each.phase == PHASE_VOCABULARY:
        return len(shard.rows) * dim
    if each.phase == PHASE_ATTENTION:
        return 2 * dim * (sizes.q_size + sizes.kv_size)
    if each.phase == PHASE_FEED_FORWARD:
        return 3 * dim * sizes.intermediate
    config = plan.config
    return {
        GATHERED_HEADS: dim * (sizes.q_size + 2 * sizes.kv_size),
        FINISHED_ATTENTION: len(shard.elements) * config.heads * config.head_dim,
        GATHERED_UNITS: 2 * dim * sizes.intermediate,
        FINISHED_FEED_FORWARD: len(shard.elements) * config.hidden_dim,
    }[each.phase]


def read_weights(plan: Plan, chip: int, board: Board) -> list[Reading]:
    """Returns what a chip reads for a token from each place."""
    resident, read = _split(plan, chip)
    place, rate = weights_place(plan, chip, board)
    readings = [Reading(place, sum(read.values()), rate)]
    if resident:
        fast, fast_rate = _heap_place(board)
        readings.insert(0, Reading(fast, sum(resident.values()), fast_rate))
    return readings


def phase_rates(plan: Plan, chip: int, board: Board) -> dict[int, float]:
    """Bytes a second with which a chip reads its weights in each phase, of those in which that
    takes time: where matrices are resident in part, on the average of all layers."""
    resident, read = _split(plan, chip)
    rate, fast = weights_place(plan, chip, board)[1], _heap_place(board)[1]
    rates = {}
    for phase in resident | read:
        size, slowly = resident.get(phase, 0), read.get(phase, 0)
        seconds = (size / fast if fast else 0.0) + (slowly / rate if rate else 0.0)
        if seconds:
            for part in _PARTS.get(phase, (phase,)):
                rates[part] = (size + slowly) / seconds
    return rates


def _split(plan: Plan, chip: int) -> tuple[dict[int, int], dict[int, int]]:
    """Returns what split_resident does, for a chip of the plan."""
    shard = plan.shards[chip]
    config, room = plan.stage_of(chip).shape.config, plan.resident_room(chip)
    sizes, elements = plan.local_sizes(shard), len(shard.elements)
    return split_resident(config, sizes, len(shard.rows), room, elements)
