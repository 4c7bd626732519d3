"""Makes plans for boards, by the heaps, speeds and radios in their files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from host.errors import ModelError
from host.hardware.board import Board
from host.hardware.kernels import matrix_padding
from host.model.outline import Divisible
from host.parallel.advice import find_nearest_count
from host.parallel.cost.instructions import kernel_costs, matrix_speed
from host.parallel.distribution import GROWTH_LEAVES
from host.parallel.flash import resident_entries
from host.parallel.heap import usable_heap
from host.parallel.parallelism import (
    ANYWHERE,
    FLASH,
    FLASH_MAPPED,
    HEAP,
    Link,
    Parallelism,
)
from host.parallel.partition import partition
from host.parallel.plan import Plan, Shard
from host.parallel.refusal import Advice, DoesNotFit
from protocol.shard_layout import VECTORS

# The fewest bytes of heap that are filled with weights from flash: fewer save too little, and are
# better left for transient objects; and the bytes lost between such large buffers.
_LEAST_RESIDENT, _BETWEEN = 1 << 19, 1 << 17


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
        reduce, link = parallelism.reduce, self.link
        return [
            board.planned_heap(self.kind, reduce, is_signed=self.signed, mtu=link.mtu)
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
            link = replace(link, gateway_code=self.boards[0].gateway_code(parallelism.reduce))

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

        def plan_for(count: int) -> Plan:
            return replace(self, boards=self.boards[:1] * count).plan(model, parallelism)

        try:
            return _fitting(make, heaps, flash, [[board] for board in self.boards])
        except DoesNotFit as problem:
            raise _with_tried_advice(problem, plan_for) from None


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
    reduce, is_signed = parallelism.reduce, link.signed
    least = min(
        board.planned_heap(link.kind, reduce, is_signed=is_signed, mtu=link.mtu)
        for board in known
    )
    on_line = min(board.planned_heap("uart", reduce, is_signed=is_signed) for board in known)
    if link.has_radio:
        code = max(board.gateway_code(reduce) for board in known)
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

    def plan_for(count: int) -> Plan:
        return plan_alike(model, count, context, parallelism, link, known)

    # All count with the smallest room of any board.
    places = dict.fromkeys(
        min(flash, default=0) for flash in list_places(known, parallelism.weights)
    )
    for at, room in enumerate(places, 1):
        flash = (room,) * chips if room else ()
        try:
            return _fitting(partial(make, room=room), [least] * chips, flash, [known] * chips)
        except DoesNotFit as problem:
            if at == len(places):
                raise _with_tried_advice(problem, plan_for) from None
    raise AssertionError("there is one place at least")


def _with_tried_advice(problem: DoesNotFit, plan_for: Callable[[int], Plan]) -> DoesNotFit:
    """Returns the problem, with advice on a number of chips that has room for the padding of
    matrices too; the first advice does not count padding.

    plan_for(chips): returns a plan, or raises ModelError.
    """

    def fits(count: int) -> bool:
        try:
            plan_for(count)
        except ModelError:
            return False
        return True

    def find() -> Advice:
        advice = problem.advice
        if advice.chips is None or fits(advice.chips):
            return advice
        return replace(advice, chips=find_nearest_count(advice.chips, fits))

    return DoesNotFit(find)


def _with_resident(
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


def _fitting(
    make: Callable[[list[int], list[int]], Plan],
    heaps: list[int],
    flash: Sequence[int],
    boards: Sequence[Sequence[Board]],
) -> Plan:
    """Returns a plan for chips that also have room for the padding of their matrices, and to map
    them.

    How much padding there is depends on the plan, so plans are made with more and more bytes kept
    free until the padding fits.

    make(kept, spared): returns the plan with these bytes of each chip's heap and of its flash kept
    free; heaps: bytes of each chip's heap; flash: as in Shape; boards: those that each chip may
    be.
    """
    kept, spared = [0] * len(heaps), [0] * len(heaps)
    while True:
        plan = make(kept, spared)
        paddings = [{matrix_padding(board.chip) for board in boards[s.chip]} for s in plan.shards]
        filling = [
            max(plan.filling(shard, padding) for padding in paddings[shard.chip])
            for shard in plan.shards
        ]
        needs = [
            max(plan.flash_need(shard, padding) for padding in paddings[shard.chip])
            for shard in plan.shards
        ]
        over = [max(0, need - room) for need, room in zip(needs, flash, strict=False)]
        lacking = [
            plan.heap_need(shard).total + filling[shard.chip] > usable_heap(heaps[shard.chip])
            for shard in plan.shards
        ]
        wanted = [of + plan.mapping_bytes(s) for s, of in zip(plan.shards, filling, strict=True)]
        has_room = not any(lacking) or all(a <= b for a, b in zip(wanted, kept, strict=True))
        if has_room and not any(over):
            return _with_resident(plan, heaps, filling, needs, boards)
        kept = [max(a, b) for a, b in zip(wanted, kept, strict=True)]
        spared = [a + b for a, b in zip(spared, over or [0] * len(spared), strict=True)]
