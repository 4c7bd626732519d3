"""Where each chip's weights are read from for a token, how many bytes these are, and how fast.

Weights in internal RAM cost no more than the instructions that multiply with them. From PSRAM they
come through the cache, and from a flash partition by the driver, at rates that boards' files give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from host.hardware.board import Board
from host.parallel.plan import Plan
from host.parallel.synchronization import (
    FINISHED_ATTENTION,
    FINISHED_FEED_FORWARD,
    GATHERED_HEADS,
    GATHERED_UNITS,
    Synchronization,
)
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY

RAM, PSRAM, FLASH = "RAM", "PSRAM", "flash"


@dataclass(frozen=True)
class Reading:
    """Of one chip. place: RAM, PSRAM or FLASH; bytes: of weights that a token passes, at one
    position; rate: bytes a second, None where reading takes no time of its own, or none is known.
    """

    place: str
    bytes: int
    rate: int | None

    @property
    def seconds(self) -> float:
        """That reading takes."""
        return self.bytes / self.rate if self.rate else 0.0


def describe_reading(chips: Sequence[Reading]) -> str:
    """What chips read that do so from the same place, at the same rate: "flash, 83 to 101 KB a
    token at 6.7 MB/s (modelled)"."""
    place, rate = chips[0].place, chips[0].rate
    sizes = sorted({round(of.bytes / 1024) for of in chips})
    amount = " to ".join(f"{size:,}" for size in dict.fromkeys((sizes[0], sizes[-1])))
    at = f" at {rate / 1e6:.1f} MB/s (modelled)" if rate else ""
    return f"{place}, {amount} KB a token{at}"


def weights_place(plan: Plan, chip: int, board: Board) -> tuple[str, int | None]:
    """Where a chip's weights are, and the rate at which they are read from there."""
    if plan.block(chip):
        return FLASH, board.flash.read_rate if board.flash else None
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


def read_weights(plan: Plan, chip: int, board: Board) -> Reading:
    """What a chip reads for a token."""
    shard, dim = plan.shards[chip], plan.config.dim
    sizes, layers = plan.local_sizes(shard), len(plan.stage_of(chip).layers)
    projected = dim * (sizes.q_size + sizes.intermediate)
    if shard.elements:
        columns = plan.config.heads * plan.config.head_dim + plan.config.hidden_dim
        projected = len(shard.elements) * columns
    layer = dim * (sizes.q_size + 2 * sizes.kv_size + 2 * sizes.intermediate) + projected
    place, rate = weights_place(plan, chip, board)
    return Reading(place, layers * layer + len(shard.rows) * dim, rate)
