"""Models how long each chip works: seconds of instructions, and of reading weights."""

from __future__ import annotations

from collections.abc import Sequence

from host.hardware.board import Board
from host.parallel.cost.instructions import (
    KernelCosts,
    chip_instructions,
    count_passes,
    kernel_costs,
    message_instructions,
)
from host.parallel.cost.reading import phase_bytes, phase_rates
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
        self._rates = [phase_rates(plan, chip, board) for chip, board in enumerate(boards)]
        for board in boards:
            costs = kernel_costs(board.mpy_arch, board.chip, kernels)
            if not board.clock_mhz or not board.uart or not costs:
                raise NotModelled(f"board {board.name} has no clock or UART to model times with")
            self._costs.append(costs)
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
        plan, rate = self._plan, self._rates[chip].get(each.phase)
        _, passes = count_passes(plan, chip, each, self._costs[chip], rows)
        return passes * phase_bytes(plan, chip, each) / rate if rate else 0.0

    def carry(self, chip: int, message: Message) -> float:
        """Seconds in which a chip sends a message, receives it or passes it on."""
        return self._seconds(
            chip, message_instructions(self._plan, chip, message, self._costs[chip])
        )

    def _seconds(self, chip: int, instructions: float) -> float:
        return instructions * CYCLES_AN_INSTRUCTION / self._clocks[chip] / 1e6
