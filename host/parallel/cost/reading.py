"""Models the reading of weights: from where each chip reads them for a token, and how fast.

Reading weights in internal RAM takes no time beyond the instructions that multiply with them. From
PSRAM they come through the cache, and from a flash partition through the driver, or through the
cache if it is mapped, at the rates in the boards' files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from host.hardware.board import Board
from host.hardware.kernels import matrix_padding
from host.hardware.mmu import mapped_room
from host.parallel.flash import VOCABULARY, Matrix, split_resident
from host.parallel.heap import matrix_bytes
from host.parallel.plan import Plan
from host.parallel.resident import may_be_placed
from host.parallel.synchronization import (
    FINISHED_ATTENTION,
    FINISHED_FEED_FORWARD,
    GATHERED_HEADS,
    GATHERED_UNITS,
    Synchronization,
)
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY

# The matrices of a layer that each phase multiplies with: all-gather divides a phase in two.
_MATRICES = {
    PHASE_ATTENTION: (0, 1),
    PHASE_FEED_FORWARD: (2, 3),
    GATHERED_HEADS: (0,),
    FINISHED_ATTENTION: (1,),
    GATHERED_UNITS: (2,),
    FINISHED_FEED_FORWARD: (3,),
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
    return sum(
        matrix_bytes(plan.config, name, count)
        for name, count in count_weights(plan, chip, each).items()
    )


def count_weights(plan: Plan, chip: int, each: Synchronization) -> dict[str, int]:
    """Returns how many weights of each matrix, by its name, a chip uses in a synchronization. The
    matrices of q, k and v, and of gate and up, count as the first of them."""
    if chip not in plan.group(each.layer):
        return {}
    shard, config, dim = plan.shards[chip], plan.config, plan.config.dim
    sizes = plan.local_sizes(shard)
    qkv, gate_up = dim * (sizes.q_size + 2 * sizes.kv_size), 2 * dim * sizes.intermediate
    finished = len(shard.elements)
    return {
        PHASE_VOCABULARY: {"classifier": len(shard.rows) * dim},
        PHASE_ATTENTION: {"wq": qkv, "wo": dim * sizes.q_size},
        PHASE_FEED_FORWARD: {"w1": gate_up, "w2": dim * sizes.intermediate},
        GATHERED_HEADS: {"wq": qkv},
        FINISHED_ATTENTION: {"wo": finished * config.q_dim},
        GATHERED_UNITS: {"w1": gate_up},
        FINISHED_FEED_FORWARD: {"w2": finished * config.hidden_dim},
    }[each.phase]


def read_weights(plan: Plan, chip: int, board: Board) -> list[Reading]:
    """Returns what a chip reads for a token from each place."""
    return [
        Reading(place, sum(sizes.values()), rate)
        for place, rate, sizes in _list_places(plan, chip, board)
    ]


def has_addresses(plan: Plan, chip: int, board: Board) -> bool:
    """Returns whether all of a chip's matrices have addresses, so that kernels need no buffers:
    where it has them in flash, all are mapped or resident."""
    if not plan.block(chip):
        return True
    read = [sizes for place, _, sizes in _list_places(plan, chip, board) if place == FLASH]
    is_read = any(size for sizes in read for size in sizes.values())
    return may_be_placed(plan, chip, matrix_padding(board.chip)) and not is_read


def flash_bytes_of(plan: Plan, chip: int, each: Synchronization) -> int:
    """Returns the bytes of weights that a chip reads from flash, into buffers, in a
    synchronization at one position."""
    if not plan.block(chip) or plan.maps(chip):
        return 0
    _, read = _split(plan, chip)
    return sum(read.get(matrix, 0) for matrix in list_matrices(plan, chip, each))


@dataclass(frozen=True)
class ReadingTimes:
    """Seconds in which a chip passes over the weights of a synchronization once.

    buffered: of reading them from flash into buffers, which a waiting chip does ahead; direct: of
    all else, for which it does not wait.
    """

    buffered: float
    direct: float


def time_reading(
    plan: Plan, chip: int, board: Board, each: Synchronization
) -> ReadingTimes:
    """Returns how long a chip reads weights for a synchronization, 0 where that takes no time of
    its own, or no rate is known. What it reads ahead into large buffers passes through PSRAM."""
    matrices = list_matrices(plan, chip, each)
    through = _heap_place(board)[1] if any(plan.buffers(chip)) else None
    buffered = direct = 0.0
    for place, rate, sizes in _list_places(plan, chip, board):
        size = sum(sizes.get(matrix, 0) for matrix in matrices)
        seconds = size / rate if rate else 0.0
        if place != FLASH:
            direct += seconds
            continue
        buffered += seconds
        direct += size / through if through else 0.0
    return ReadingTimes(buffered, direct)


def list_matrices(plan: Plan, chip: int, each: Synchronization) -> list[Matrix]:
    """Returns the matrices that a chip multiplies with in a synchronization."""
    if each.phase == PHASE_VOCABULARY:
        return [VOCABULARY]
    layers = plan.stage_of(chip).layers
    if each.layer not in layers:
        return []
    return [(each.layer - layers.start, part) for part in _MATRICES[each.phase]]


def _list_places(
    plan: Plan, chip: int, board: Board
) -> list[tuple[str, int | None, dict[Matrix, int]]]:
    """Returns each place from which a chip reads weights, at which rate, and how many bytes of
    each matrix; one place at least, from which a chip without weights reads none."""
    resident, read = _split(plan, chip)
    place, rate = weights_place(plan, chip, board)
    places: list[tuple[str, int | None, dict[Matrix, int]]] = []
    if any(resident.values()):
        places.append((*_heap_place(board), resident))
    if plan.maps(chip) and board.flash and mapped_room(board):
        need = plan.flash_need(plan.shards[chip], matrix_padding(board.chip))
        mapped, read = _split_mapped(read, max(0, need - mapped_room(board)))
        if any(mapped.values()):
            places.append((MAPPED, board.flash.map_rate, mapped))
    if places and not any(read.values()):
        return places
    return [*places, (place, rate, read)]


def _split_mapped(
    read: dict[Matrix, int], beyond: int
) -> tuple[dict[Matrix, int], dict[Matrix, int]]:
    """Returns the bytes of each matrix that is mapped, and of each that is not: those of which
    some are among the last `beyond` bytes of the partition, which ends with the vocabulary."""
    rest: dict[Matrix, int] = {}
    for matrix in _from_the_end(read):
        if beyond <= 0:
            break
        rest[matrix] = read[matrix]
        beyond -= read[matrix]
    return {matrix: size for matrix, size in read.items() if matrix not in rest}, rest


def _from_the_end(read: dict[Matrix, int]) -> list[Matrix]:
    """Returns matrices in the order opposite to that in the partition."""
    layers = sorted((matrix for matrix in read if matrix != VOCABULARY), reverse=True)
    return [VOCABULARY, *layers] if VOCABULARY in read else layers


def _split(plan: Plan, chip: int) -> tuple[dict[Matrix, int], dict[Matrix, int]]:
    """Returns what split_resident does, for a chip of the plan."""
    shard = plan.shards[chip]
    config, room = plan.stage_of(chip).shape.config, plan.resident_room(chip)
    sizes, elements = plan.local_sizes(shard), len(shard.elements)
    rows = len(shard.rows)
    return split_resident(config, sizes, rows, room, elements, rows_first=plan.rows_first)
