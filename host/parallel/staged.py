"""Pipeline and hybrid parallelism: which whole layers each stage holds, and each of its chips.

A stage is a group of chips that divide its layers among them as tensor parallelism does; in a
plain pipeline the group is one chip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from host.errors import ModelError
from host.model.quantized import QuantizedModel
from host.parallel.assignment import blocks, even_blocks, level
from host.parallel.heap import Pipe, Shape
from host.parallel.plan import (
    MAX_CHIPS,
    DoesNotFit,
    Plan,
    Share,
    Stage,
    advice,
    check_vocabulary,
    dealt,
    heaps_of,
    largest_context,
    shape_of,
    speeds_of,
    tensor_parallel,
)

# A sequence more than there are stages keeps all of them at work while the host chooses a token.
_SPARE_SLOTS = 1
_TRIED = 40  # chips, where it is asked how many would do


@dataclass(frozen=True)
class _Boards:
    """Bytes of each chip's heap, and how fast each is."""

    heaps: list[int]
    speeds: list[int]

    def weights(self, groups: Sequence[range]) -> list[int]:
        """How fast each group is: of boards alike, how many they are."""
        return [sum(self.speeds[group.start : group.stop]) for group in groups]


def pipeline_stages(layers: int, chips: int) -> int:
    """How many stages a pipeline of so many chips has: one each, while there are layers."""
    return min(layers, chips)


def staged(
    model: QuantizedModel,
    chips: int,
    stages: int,
    context: int | None = None,
    *,
    heap: int | Sequence[int] | None = None,
    speeds: Sequence[int] | None = None,
    mtu: int | None = None,
    signed: bool = False,
) -> Plan:
    """Layers divided among stages, and each stage among its chips.

    Chips are dealt to stages evenly, larger groups last, for the last stage has the classifier
    too. Layers are dealt in proportion to the groups, or where chips differ to how fast they are
    together, the remainder to the first; where heaps do not allow that, as they do. A group deals
    units and rows among its chips as tensor_parallel does. Each chip has caches for several
    sequences, at most one more than there are stages, as far as heaps allow.

    heap, speeds, mtu, signed: as tensor_parallel's. Raises ModelError for what cannot be, and
    DoesNotFit where the heaps are too small.
    """
    shape = shape_of(model, chips, context, mtu, signed, "chips")
    heaps = heaps_of(heap, chips)
    boards = _Boards(heaps, speeds_of(speeds, chips))
    layers = model.config.layers
    if not 1 <= stages <= min(layers, chips):
        raise ModelError(
            f"{stages} stages of {chips} chip{'s' * (chips > 1)}: each has one of the model's"
            f" {layers} layers and a chip at least"
        )
    check_vocabulary(model.config.vocab_size, len(_groups(chips, stages)[-1]))
    plan = _plan(shape, boards, stages)
    if plan is None:
        missing = _missing(shape, boards, stages)
        enough = _enough_chips(shape, heaps[0], stages) if len(set(heaps)) == 1 else None
        less = largest_context(shape, lambda less: _plan(less, boards, stages) is not None)
        words = advice(shape, heaps, missing, enough, less, _most_tried(chips))
        raise DoesNotFit(f"in {stages} stages, {words}", enough)
    return plan


def _groups(chips: int, stages: int) -> list[range]:
    """The chips of each stage."""
    return blocks([len(part) for part in reversed(even_blocks(chips, stages))])


def _plan(shape: Shape, boards: _Boards, stages: int) -> Plan | None:
    """The plan with as many slots as there is room for, rather fewer than layers dealt unevenly;
    None where nothing fits."""
    groups = _groups(shape.chips, stages)
    weights = boards.weights(groups)
    even = _even_layers(shape.config.layers, weights)
    most = stages + _SPARE_SLOTS
    for slots in range(most, 0, -1):
        plan = _with(shape, boards, groups, even, slots)
        if plan:
            return plan
    for slots in range(most, 0, -1):
        room = _room(shape, boards, groups, slots)
        layers = level(shape.config.layers, room, weights)
        if sum(layers) == shape.config.layers and min(layers):
            plan = _with(shape, boards, groups, layers, slots)
            if plan:
                return plan
    return None


def _even_layers(layers: int, weights: Sequence[int]) -> list[int]:
    """How many layers each group gets, in proportion to its weight, one at least."""
    shares = level(layers, [layers] * len(weights), weights)
    if min(shares):
        return shares
    rest = layers - len(weights)
    return [1 + more for more in level(rest, [rest] * len(weights), weights)]


def _room(shape: Shape, boards: _Boards, groups: Sequence[range], slots: int) -> list[int]:
    """How many layers each stage could hold."""

    def fits(at: int, layers: int) -> bool:
        return not _dealt_stage(shape, boards, groups, at, layers, slots)[1]

    every = range(shape.config.layers, 0, -1)
    return [
        next((layers for layers in every if fits(at, layers)), 0) for at in range(len(groups))
    ]


def _with(
    shape: Shape,
    boards: _Boards,
    groups: Sequence[range],
    layers: Sequence[int],
    slots: int,
) -> Plan | None:
    """The plan with these numbers of layers, None where a stage does not fit."""
    stages: list[Stage] = []
    shares: list[Share] = []
    for at, held in enumerate(blocks(layers)):
        own, missing, parts = _dealt_stage(shape, boards, groups, at, len(held), slots)
        if missing:
            return None
        stages.append(Stage(held, groups[at], own))
        shares += parts
    whole = replace(shape, pipe=Pipe(slots, 0, len(groups[-1]), answers=True))
    return Plan(whole, tuple(shares), tuple(stages))


def _dealt_stage(
    shape: Shape, boards: _Boards, groups: Sequence[range], at: int, layers: int, slots: int
) -> tuple[Shape, int, list[Share]]:
    """A stage's shape, the bytes that find no room, and its chips' shares where all do."""
    group, last = groups[at], at == len(groups) - 1
    # On serial lines the host passes on to all chips what is for more than one.
    reached = shape.mtu is not None or len(groups[-1]) > 1
    pipe = Pipe(
        slots,
        heard=shape.chips - len(group) if reached else 0,
        last=len(groups[-1]),
        answers=last,
    )
    config = replace(shape.config, layers=layers)
    own = replace(shape, config=config, chips=len(group), pipe=pipe)
    rows = config.vocab_size if last else 0
    heaps, speeds = (of[group.start : group.stop] for of in (boards.heaps, boards.speeds))
    missing, shares = dealt(own, heaps, speeds, first=group.start, vocabulary=rows)
    return own, missing, shares


def _missing(shape: Shape, boards: _Boards, stages: int) -> int:
    """Bytes that find no room, with layers dealt evenly and one sequence at a time."""
    groups = _groups(shape.chips, stages)
    return sum(
        _dealt_stage(shape, boards, groups, at, layers, 1)[1]
        for at, layers in enumerate(_even_layers(shape.config.layers, boards.weights(groups)))
    )


def _most_tried(chips: int) -> int:
    """How many chips are tried where so many do not fit: all that there can be would take half a
    minute."""
    return min(MAX_CHIPS, max(_TRIED, chips + 8))


def _enough_chips(shape: Shape, heap: int, stages: int) -> int | None:
    """How many chips would do where those of `shape` do not: in a pipeline of as many stages
    while there are layers, else in larger groups."""
    layers = shape.config.layers
    plain = stages == pipeline_stages(layers, shape.chips)
    for chips in range(shape.chips + 1, _most_tried(shape.chips) + 1):
        parts = pipeline_stages(layers, chips) if plain else stages
        boards = _Boards([heap] * chips, [1] * chips)
        if _plan(replace(shape, chips=chips), boards, parts):
            return chips
    return None


def divided(
    model: QuantizedModel,
    chips: int,
    context: int | None = None,
    *,
    stages: int = 0,
    combine: str = "host",
    heap: int | Sequence[int] | None = None,
    speeds: Sequence[int] | None = None,
    mtu: int | None = None,
    signed: bool = False,
) -> Plan:
    """staged, or where there are no stages tensor_parallel; combine is of that alone.

    Raises ModelError, DoesNotFit.
    """
    if stages:
        return staged(
            model, chips, stages, context, heap=heap, speeds=speeds, mtu=mtu, signed=signed
        )
    return tensor_parallel(
        model, chips, context, heap=heap, speeds=speeds, mtu=mtu, signed=signed, combine=combine
    )
