"""Plans for boards: by the heaps, speeds and radios that their files tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from host.hardware.board import Board
from host.model.outline import Divisible
from host.parallel.cost.instructions import KERNELS, matrix_speed
from host.parallel.parallelism import Link, Parallelism
from host.parallel.partition import partition
from host.parallel.plan import Plan


@dataclass(frozen=True)
class BoardSet:
    """Boards, by chip, and how they are linked ("uart" or "espnow"). context: positions, None for
    all that the model allows; signed: whether frames are; line: where serial lines end; heap:
    bytes of every chip's heap in place of what the boards have."""

    boards: tuple[Board, ...]
    kind: str
    context: int | None = None
    signed: bool = False
    line: str = "usb"
    heap: int | None = None

    @property
    def link(self) -> Link:
        """With the radio's MTU that all boards have."""
        return make_link(self.kind, self.boards, line=self.line, signed=self.signed)

    @property
    def speeds(self) -> list[int] | None:
        """How fast each chip does matrix work, None where a board's clock is not known."""
        speeds = [
            matrix_speed(board.mpy_arch, board.clock_mhz)
            for board in self.boards
            if board.clock_mhz and board.mpy_arch in KERNELS
        ]
        return speeds if len(speeds) == len(self.boards) else None

    def heaps(self, parallelism: Parallelism) -> list[int]:
        """Bytes of each chip's heap that plans may count with."""
        if self.heap is not None:
            return [self.heap] * len(self.boards)
        return [board.planned_heap(self.kind, parallelism.reduce) for board in self.boards]

    def plan(self, model: Divisible, parallelism: Parallelism) -> Plan:
        """The model divided among the chips. Raises ModelError where it does not fit."""
        return partition(
            model,
            len(self.boards),
            self.context,
            parallelism=parallelism,
            link=self.link,
            heap=self.heaps(parallelism),
            speeds=self.speeds,
            uart_heap=replace(self, kind="uart").heaps(parallelism),
        )


def make_link(
    kind: str,
    boards: Sequence[Board],
    *,
    line: str = "usb",
    signed: bool = False,
    mtu: int | None = None,
) -> Link:
    """The link between these boards; mtu: of the radio where there are none to tell."""
    if kind == "espnow":
        mtu = min((board.radio.mtu for board in boards), default=mtu)
    return Link(kind, line, mtu if kind == "espnow" else None, signed)


def plan_alike(
    model: Divisible,
    chips: int,
    context: int | None,
    parallelism: Parallelism,
    link: Link,
    known: Sequence[Board],
) -> Plan:
    """A plan that deals all chips the same, bounded by the smallest heap of the boards that are
    known, none for no bound. Raises ModelError where it does not fit."""
    heaps = [board.planned_heap(link.kind, parallelism.reduce) for board in known]
    wired = [board.planned_heap("uart", parallelism.reduce) for board in known]
    return partition(
        model,
        chips,
        context,
        parallelism=parallelism,
        link=link,
        heap=min(heaps, default=None),
        uart_heap=min(wired, default=None),
    )
