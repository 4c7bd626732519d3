"""Models the reading of weights: from where each chip reads them for a token, and how fast.

Reading weights in internal RAM takes no time beyond the instructions that multiply with them. From
PSRAM they come through the cache, and from a flash partition through the driver, or through the
cache if it is mapped, at the rates in the boards' files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from host.hardware.board import Board
from host.hardware.kernels import matrix_padding
from host.hardware.mmu import mapped_room
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

# The phases into which all-gather divides a phase, and which use its matrices.
_PARTS = {
    PHASE_ATTENTION: (PHASE_ATTENTION, GATHERED_HEADS, FINISHED_ATTENTION),
    PHASE_FEED_FORWARD: (PHASE_FEED_FORWARD, GATHERED_UNITS, FINISHED_FEED_FORWARD),
}
RAM, PSRAM, FLASH, MAPPED = "RAM", "PSRAM", "flash", "flash, mapped"


@dataclass(frozen=True)
class Reading:
    """What one chip reads from one place. place: RAM, PSRAM, FLASH or MAPPED; bytes: of weights
    that a token uses, at one position; rate: bytes per second, None if reading takes no time of
    its own, or the rate is unknown."""

    place: str
    bytes: int
    rate: int | None

    @property
    def seconds(self) -> float:
        """The seconds that reading takes."""
        return self.bytes / self.rate if self.rate else 0.0


def describe_reading(chips: Sequence[Reading]) -> str:
    """Returns a text on what chips read from the same place at the same rate: "flash, 83 to 101 KB
    a token at 6.7 MB/s (modelled)"."""
    place, rate = chips[0].place, chips[0].rate
    sizes = sorted({round(of.bytes / 1024) for of in chips})
    amount = " to ".join(f"{size:,}" for size in dict.fromkeys((sizes[0], sizes[-1])))
    at = f" at {rate / 1e6:.1f} MB/s (modelled)" if rate else ""
    return f"{place}, {amount} KB a token{at}"


def weights_place(plan: Plan, chip: int, board: Board) -> tuple[str, int | None]:
    """Returns where a chip's weights are, except resident ones, and the rate at which they are
    read from there."""
    if plan.block(chip):
        return FLASH, board.flash.read_rate if board.flash else None
    return _heap_place(board)


def _heap_place(board: Board) -> tuple[str, int | None]:
    if board.psram_kb and board.fixed_heap is None and not board.is_simulated:
        return PSRAM, board.psram_rate
    return RAM, None


def phase_bytes(plan: Plan, chip: int, each: Synchronization) -> int:
    """Returns the bytes of weights that a chip uses in a synchronization, at one position."""
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
    return [
        Reading(place, sum(sizes.values()), rate)
        for place, rate, sizes in _list_places(plan, chip, board)
    ]


def phase_rates(plan: Plan, chip: int, board: Board) -> dict[int, float]:
    """Returns the bytes per second at which a chip reads its weights in each phase in which
    reading takes time; if matrices are in several places, the mean over all layers."""
    passed = Counter[int]()
    seconds: dict[int, float] = {}
    for _, rate, sizes in _list_places(plan, chip, board):
        for phase, size in sizes.items():
            passed[phase] += size
            if rate:
                seconds[phase] = seconds.get(phase, 0.0) + size / rate
    rates = {}
    for phase, duration in seconds.items():
        if duration:
            for part in _PARTS.get(phase, (phase,)):
                rates[part] = passed[phase] / duration
    return rates


def _list_places(
    plan: Plan, chip: int, board: Board
) -> list[tuple[str, int | None, dict[int, int]]]:
    """Returns each place from which a chip reads weights, at which rate, and how many bytes of
    each phase."""
    resident, read = _split(plan, chip)
    places: list[tuple[str, int | None, dict[int, int]]] = []
    if any(resident.values()):
        places.append((*_heap_place(board), resident))
    place, rate = weights_place(plan, chip, board)
    if plan.maps(chip) and board.flash and mapped_room(board):
        need = plan.flash_need(plan.shards[chip], matrix_padding(board.chip))
        mapped, read = _split_mapped(read, max(0, need - mapped_room(board)))
        places.append((MAPPED, board.flash.map_rate, mapped))
        if not any(read.values()):
            return places
    return [*places, (place, rate, read)]


def _split_mapped(
    read: dict[int, int], beyond: int
) -> tuple[dict[int, int], dict[int, int]]:
    """Returns the bytes of each phase that are mapped, and those that are not: the last `beyond`
    bytes of the partition, which ends with the vocabulary."""
    rest = {PHASE_VOCABULARY: min(beyond, read.get(PHASE_VOCABULARY, 0))}
    beyond -= rest[PHASE_VOCABULARY]
    layers = sum(size for phase, size in read.items() if phase != PHASE_VOCABULARY)
    for phase, size in read.items():
        if phase != PHASE_VOCABULARY:
            rest[phase] = min(size, -(-size * beyond // layers)) if layers else 0
    return {phase: size - rest[phase] for phase, size in read.items()}, rest


def _split(plan: Plan, chip: int) -> tuple[dict[int, int], dict[int, int]]:
    """Returns what split_resident does, for a chip of the plan."""
    shard = plan.shards[chip]
    config, room = plan.stage_of(chip).shape.config, plan.resident_room(chip)
    sizes, elements = plan.local_sizes(shard), len(shard.elements)
    return split_resident(config, sizes, len(shard.rows), room, elements)
