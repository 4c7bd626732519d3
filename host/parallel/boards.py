"""Plans for boards: by the heaps, speeds and radios that their files tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from host.errors import ModelError
from host.hardware.board import Board
from host.hardware.kernels import matrix_padding
from host.model.outline import Divisible
from host.parallel.advice import find_nearest_count
from host.parallel.cost.instructions import kernel_costs, matrix_speed
from host.parallel.heap import usable_heap
from host.parallel.parallelism import Link, Parallelism
from host.parallel.partition import partition
from host.parallel.plan import Advice, DoesNotFit, Plan


@dataclass(frozen=True)
class BoardSet:
    """Boards, by chip, and how they are linked ("uart" or "espnow"). context: positions, None for
    all that the model allows; signed: whether frames are; line: where serial lines end; heap:
    bytes of every chip's heap in place of what the boards have; kernels: "viper" where native
    ones are not to run, which times depend on, and how work is dealt does not."""

    boards: tuple[Board, ...]
    kind: str
    context: int | None = None
    signed: bool = False
    line: str = "usb"
    heap: int | None = None
    kernels: str = "auto"

    @property
    def link(self) -> Link:
        """With the radio's MTU that all boards have."""
        return make_link(self.kind, self.boards, line=self.line, signed=self.signed)

    @property
    def speeds(self) -> list[int] | None:
        """How fast each chip does matrix work, None where a board's clock is not known."""
        speeds = [
            matrix_speed(costs, board.clock_mhz)
            for board in self.boards
            if board.clock_mhz and (costs := kernel_costs(board.mpy_arch, board.chip))
        ]
        return speeds if len(speeds) == len(self.boards) else None

    def heaps(self, parallelism: Parallelism) -> list[int]:
        """Bytes of each chip's heap that plans may count with."""
        if self.heap is not None:
            return [self.heap] * len(self.boards)
        return [
            board.planned_heap(self.kind, parallelism.reduce, is_signed=self.signed)
            for board in self.boards
        ]

    def plan(self, model: Divisible, parallelism: Parallelism) -> Plan:
        """The model divided among the chips. Raises ModelError where it does not fit."""
        heaps, wired = self.heaps(parallelism), replace(self, kind="uart").heaps(parallelism)
        link = self.link
        if link.has_radio and self.heap is None:
            link = replace(link, gateway_code=self.boards[0].gateway_code(parallelism.reduce))

        def make(kept: list[int]) -> Plan:
            return partition(
                model,
                len(self.boards),
                self.context,
                parallelism=parallelism,
                link=link,
                heap=[heap - of for heap, of in zip(heaps, kept, strict=True)],
                speeds=self.speeds,
                uart_heap=[heap - of for heap, of in zip(wired, kept, strict=True)],
            )

        def plan_for(count: int) -> Plan:
            return replace(self, boards=self.boards[:1] * count).plan(model, parallelism)

        try:
            return _fitting(make, heaps, [[board] for board in self.boards])
        except DoesNotFit as problem:
            raise _with_tried_advice(problem, plan_for) from None


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
    reduce, is_signed = parallelism.reduce, link.signed
    heaps = [board.planned_heap(link.kind, reduce, is_signed=is_signed) for board in known]
    wired = [board.planned_heap("uart", reduce, is_signed=is_signed) for board in known]
    least, on_line = min(heaps, default=None), min(wired, default=None)
    if link.has_radio:
        code = max((board.gateway_code(reduce) for board in known), default=0)
        link = replace(link, gateway_code=code)

    def make(kept: list[int]) -> Plan:
        of = max(kept, default=0)
        return partition(
            model,
            chips,
            context,
            parallelism=parallelism,
            link=link,
            heap=None if least is None else least - of,
            uart_heap=None if on_line is None else on_line - of,
        )

    def plan_for(count: int) -> Plan:
        return plan_alike(model, count, context, parallelism, link, known)

    if not known:
        return make([])
    try:
        return _fitting(make, [least or 0] * chips, [known] * chips)
    except DoesNotFit as problem:
        raise _with_tried_advice(problem, plan_for) from None


def _with_tried_advice(problem: DoesNotFit, plan_for: Callable[[int], Plan]) -> DoesNotFit:
    """The problem, with a number of chips that fit with what their matrices are filled up with as
    well, which the first advice knows nothing of.

    plan_for: gives the plan of so many chips, or raises ModelError.
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


def _fitting(
    make: Callable[[list[int]], Plan], heaps: list[int], boards: Sequence[Sequence[Board]]
) -> Plan:
    """A plan whose chips have room for what their matrices are filled up with as well.

    make: gives the plan with so many bytes kept of each chip's heap; heaps: of the chips; boards:
    those that each may be.
    """
    kept = [0] * len(heaps)
    while True:
        plan = make(kept)
        filling = [
            max(plan.filling(shard, matrix_padding(board.chip)) for board in boards[shard.chip])
            for shard in plan.shards
        ]
        lacking = [
            plan.heap_need(shard).total + filling[shard.chip] > usable_heap(heaps[shard.chip])
            for shard in plan.shards
        ]
        if not any(lacking) or all(a <= b for a, b in zip(filling, kept, strict=True)):
            return plan
        kept = [max(a, b) for a, b in zip(filling, kept, strict=True)]
