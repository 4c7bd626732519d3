"""Makes plans for boards, by the heaps, speeds and radios in their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from host.errors import ModelError
from host.hardware.board import Board
from host.model.outline import Divisible, widen
from host.parallel.cost.kernel_costs import kernel_costs, matrix_speed
from host.parallel.padding import fit_padding, try_advice
from host.parallel.parallelism import (
    FLASH,
    FLASH_MAPPED,
    HEAP,
    Link,
    Parallelism,
)
from host.parallel.partition import partition
from host.parallel.plan import Plan
from host.parallel.refusal import DoesNotFit


@dataclass(frozen=True)
class BoardSet:
    """The board of each chip, and the link between them.

    kind: "uart", "espnow" or "ring"; context: positions, None for all that the model allows;
    signed: whether frames are signed; line: where serial lines end; heap: bytes of every chip's
    heap in place of the boards'; kernels: "viper" if native ones must not run, which changes times
    but not how work is divided; weights: where chips keep them, one of WEIGHTS; baud: that of
    Link.
    """

    boards: tuple[Board, ...]
    kind: str
    context: int | None = None
    signed: bool = False
    line: str = "usb"
    heap: int | None = None
    kernels: str = "auto"
    weights: str = HEAP
    baud: int = 0

    @property
    def link(self) -> Link:
        """The link, with the radio's MTU that all boards can send."""
        return make_link(
            self.kind, self.boards, line=self.line, signed=self.signed, baud=self.baud
        )

    @property
    def line_baud(self) -> int | None:
        """Bits per second on the slowest serial line, None if a speed is unknown."""
        if self.kind == "ring":
            return self.link.baud
        first = self.boards[: 1 if self.link.has_one_line else None]
        known = [board.uart.baud for board in first if board.uart]
        return min(known) if len(known) == len(first) else None

    def with_line_baud(self, baud: int | None) -> BoardSet:
        """Returns these boards with all lines at `baud` bits per second, None for the boards' own
        speeds. Raises BoardError for a board with a line that has no speed."""
        if baud is None:
            return self
        return replace(
            self, boards=tuple(board.with_baud(baud) for board in self.boards), baud=baud
        )

    @property
    def speeds(self) -> list[int] | None:
        """How fast each chip multiplies matrices, None if a board's clock is unknown."""
        speeds = [
            matrix_speed(costs, board.clock_mhz)
            for board in self.boards
            if board.clock_mhz and (costs := kernel_costs(board.mpy_arch, board.chip))
        ]
        return speeds if len(speeds) == len(self.boards) else None

    def heaps(self, parallelism: Parallelism) -> list[int]:
        """Returns the bytes of each chip's heap that plans may count with."""
        if self.heap is not None:
            return [self.heap] * len(self.boards)
        code, link = parallelism.code, self.link
        maps = parallelism.weights == FLASH_MAPPED
        return [
            board.planned_heap(self.kind, code, is_signed=self.signed, mtu=link.mtu, maps=maps)
            for board in self.boards
        ]

    def plan(self, model: Divisible, parallelism: Parallelism) -> Plan:
        """Returns the plan of the model among the chips. Raises ModelError if it does not fit."""
        places = list_places(self.boards, parallelism.weights, self.heap)
        for at, flash in enumerate(places, 1):
            try:
                return self._plan_with(model, parallelism, flash)
            except DoesNotFit:
                if at == len(places):
                    raise
        raise AssertionError("there is one place at least")

    def _plan_with(
        self, model: Divisible, parallelism: Parallelism, flash: tuple[int, ...]
    ) -> Plan:
        heaps, wired = self.heaps(parallelism), replace(self, kind="uart").heaps(parallelism)
        link = self.link
        if link.has_radio and self.heap is None:
            link = replace(link, gateway_code=self.boards[0].gateway_code(parallelism.code))

        def make(kept: list[int], spared: list[int]) -> Plan:
            return partition(
                model,
                len(self.boards),
                self.context,
                parallelism=parallelism,
                link=link,
                heap=[heap - of for heap, of in zip(heaps, kept, strict=True)],
                speeds=self.speeds,
                uart_heap=[heap - of for heap, of in zip(wired, kept, strict=True)],
                flash=[room and room - of for room, of in zip(flash, spared, strict=False)],
            )

        def plan_with(**changed: Any) -> Plan:
            return replace(self, **changed).plan(widen(model), parallelism)

        try:
            return fit_padding(make, heaps, flash, [[board] for board in self.boards])
        except DoesNotFit as problem:
            raise try_advice(
                problem,
                with_chips=lambda count: plan_with(boards=self.boards[:1] * count),
                with_context=lambda context: plan_with(context=context),
                with_lines=lambda: plan_with(kind="uart"),
            ) from None


def list_places(
    boards: Sequence[Board], weights: str, heap: int | None = None
) -> list[tuple[int, ...]]:
    """Returns the ways in which chips may keep their weights, the best first, each as Shape.flash.

    weights: one of WEIGHTS; heap: bytes of each chip's heap in place of the boards'. Raises
    ModelError for a board without flash for weights.
    """
    rooms = tuple(board.weights_room for board in boards)
    if weights in (FLASH, FLASH_MAPPED):
        for board in boards:
            if not board.weights_room:
                raise ModelError(f"{board.name} has no flash for weights: give --weights heap")
        return [rooms]
    # Simulated chips have whatever heap is asked for.
    if weights == HEAP or heap is not None or not all(
        board.flash and board.fixed_heap is None and board.weights_room for board in boards
    ):
        return [()]
    large = [0 if board.psram_kb else board.weights_room for board in boards]
    return list(dict.fromkeys([(), tuple(large) if any(large) else (), rooms]))


def make_link(
    kind: str,
    boards: Sequence[Board],
    *,
    line: str = "usb",
    signed: bool = False,
    mtu: int | None = None,
    baud: int = 0,
) -> Link:
    """Returns the link between these boards.

    mtu: of the radio, if there are no boards from which to take it; baud: that of Link.
    """
    if kind == "espnow":
        mtu = min((board.radio.mtu for board in boards), default=mtu)
    return Link(kind, line, mtu if kind == "espnow" else None, signed, baud=baud)


def plan_alike(
    model: Divisible,
    chips: int,
    context: int | None,
    parallelism: Parallelism,
    link: Link,
    known: Sequence[Board],
) -> Plan:
    """Returns a plan with equal shards for all chips, which fit the smallest heap of the `known`
    boards; without known boards, heaps have no bound. Raises ModelError if it does not fit."""
    if not known:
        return partition(model, chips, context, parallelism=parallelism, link=link)
    whose, is_signed = parallelism.code, link.signed
    least = min(
        board.planned_heap(link.kind, whose, is_signed=is_signed, mtu=link.mtu)
        for board in known
    )
    on_line = min(board.planned_heap("uart", whose, is_signed=is_signed) for board in known)
    if link.has_radio:
        code = max(board.gateway_code(whose) for board in known)
        link = replace(link, gateway_code=code)

    def make(kept: list[int], spared: list[int], room: int) -> Plan:
        of, rest = max(kept, default=0), max(spared, default=0)
        return partition(
            model,
            chips,
            context,
            parallelism=parallelism,
            link=link,
            heap=least - of,
            uart_heap=on_line - of,
            flash=(room - rest,) * chips if room else (),
        )

    def plan_with(chips: int = chips, context: int | None = context, link: Link = link) -> Plan:
        return plan_alike(widen(model), chips, context, parallelism, link, known)

    # All count with the smallest room of any board.
    places = dict.fromkeys(
        min(flash, default=0) for flash in list_places(known, parallelism.weights)
    )
    for at, room in enumerate(places, 1):
        flash = (room,) * chips if room else ()
        try:
            return fit_padding(partial(make, room=room), [least] * chips, flash, [known] * chips)
        except DoesNotFit as problem:
            if at == len(places):
                raise try_advice(
                    problem,
                    with_chips=lambda count: plan_with(chips=count),
                    with_context=lambda context: plan_with(context=context),
                    with_lines=lambda: plan_with(link=replace(link, kind="uart", mtu=None)),
                ) from None
    raise AssertionError("there is one place at least")
