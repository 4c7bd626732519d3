"""Models how long each chip works: seconds of instructions, and of reading weights."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

from host.hardware.board import Board
from host.hardware.kernels import PADDING, native_kernels, pass_counts, positions_in_pass
from host.parallel.cost.instructions import chip_instructions, count_passes, message_instructions
from host.parallel.cost.kernel_costs import KernelCosts, kernel_costs
from host.parallel.cost.read_ahead import ReadAhead
from host.parallel.cost.reading import (
    ReadingTimes,
    has_addresses,
    time_reading,
    weights_place,
)
from host.parallel.cost.traffic import Count
from host.parallel.plan import Plan
from host.parallel.synchronization import Message, Synchronization

# Assumed: both processors begin at most one instruction a cycle; loads that are used at once,
# taken branches and code that comes from flash cost more, 1.2 to 2 in all.
CYCLES_AN_INSTRUCTION = 1.5


class NotModelled(ValueError):
    """The times of these boards cannot be modelled; the message is one line."""


class ChipTimes:
    """The seconds that each chip of a plan takes for its own work."""

    def __init__(self, plan: Plan, boards: Sequence[Board], kernels: str) -> None:
        """boards: of each chip; kernels: "viper" where native ones are not to run.

        Raises NotModelled for boards without clock or UART, as simulated ones.
        """
        self._plan = plan
        self._costs: list[KernelCosts] = []
        self._clocks: list[int] = []  # MHz
        self._boards = boards
        self._times: dict[tuple[int, int, int], ReadingTimes] = {}
        for chip, board in enumerate(boards):
            costs = kernel_costs(board.mpy_arch, board.chip, kernels)
            if not board.clock_mhz or not board.uart or not costs:
                raise NotModelled(f"board {board.name} has no clock or UART to model times with")
            self._costs.append(_placed(costs, plan, chip, board))
            self._clocks.append(board.clock_mhz)

    def compute(
        self,
        chip: int,
        each: Synchronization,
        position: int,
        rows: int = 1,
        frames: Sequence[tuple[Message, Count]] | None = None,
    ) -> float:
        """Seconds of a chip's instructions in a synchronization; frames: as chip_instructions."""
        costs = self._costs[chip]
        return self._seconds(
            chip, chip_instructions(self._plan, chip, each, position, costs, rows, frames)
        )

    def read(self, chip: int, each: Synchronization, rows: int = 1) -> float:
        """Seconds in which a chip reads its weights for a synchronization."""
        times, passes = self.reading_times(chip, each, rows)
        return passes * (times.buffered + times.direct)

    def reading_times(
        self, chip: int, each: Synchronization, rows: int = 1
    ) -> tuple[ReadingTimes, int]:
        """Returns how long one pass over a chip's weights for a synchronization reads, and how
        many passes it makes."""
        plan, key = self._plan, (chip, each.layer, each.phase)
        if key not in self._times:
            self._times[key] = time_reading(plan, chip, self._boards[chip], each)
        return self._times[key], count_passes(plan, chip, each, self._costs[chip], rows)[1]

    def start_reading_ahead(self) -> ReadAhead:
        """Returns the chips' buffers for reading ahead, empty."""
        rates = [
            None if self._costs[chip].is_placed else weights_place(self._plan, chip, board)[1]
            for chip, board in enumerate(self._boards)
        ]
        return ReadAhead(self._plan, rates)

    def carry(self, chip: int, message: Message) -> float:
        """Seconds in which a chip sends a message, receives it or passes it on."""
        return self._seconds(
            chip, message_instructions(self._plan, chip, message, self._costs[chip])
        )

    def with_steps_waiting(self) -> ChipTimes:
        """Returns these times for stages that are busy when a STEP comes."""
        times = copy(self)
        times._costs = [replace(each, takes_steps=False) for each in self._costs]
        return times

    def _seconds(self, chip: int, instructions: float) -> float:
        return instructions * CYCLES_AN_INSTRUCTION / self._clocks[chip] / 1e6


def _placed(costs: KernelCosts, plan: Plan, chip: int, board: Board) -> KernelCosts:
    """Returns a chip's costs, with those of matrices in flash that have addresses, if it has such
    matrices and native kernels."""
    if not costs.passes or not has_addresses(plan, chip, board):
        return replace(costs, lacks_psram=not board.psram_kb)
    sizes = plan.local_sizes(plan.shards[chip])
    widest = max(plan.config.dim, sizes.q_size, sizes.intermediate)
    if not plan.block(chip):
        return replace(costs, is_placed=True)
    name = native_kernels(board.chip)
    passes = pass_counts(name, widest, is_placed=True)
    if name in PADDING:  # wider matrices have no kernels for several positions
        passes = tuple(count for count in passes if count <= positions_in_pass(widest))
    return replace(costs, is_placed=True, passes=passes)
