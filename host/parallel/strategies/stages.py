"""Divides chips and layers among the stages of a pipeline, and a stage's work among its chips."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from host.parallel.assignment import blocks, even_blocks, level
from host.parallel.distribution import GROWTH_LEAVES, Distribution, distribute
from host.parallel.parallelism import Parallelism
from host.parallel.plan import Plan, Shard, Stage, Strategy
from host.parallel.shape import Shape
from host.parallel.shaping import list_roomier

# One sequence more than there are stages keeps all of them busy while the host chooses a token.
_SPARE_SLOTS = 1


def group_chips(chips: int, stages: int) -> list[range]:
    """Returns the chips of each stage: groups of nearly equal size, the larger ones last."""
    return blocks([len(part) for part in reversed(even_blocks(chips, stages))])


@dataclass(frozen=True)
class _PlannedStage:
    shape: Shape
    work: Distribution


@dataclass(frozen=True)
class StagePlanner:
    """Plans a number of stages. heaps: bytes of each chip's heap; speeds: of each chip."""

    strategy: Strategy
    heaps: Sequence[int]
    speeds: Sequence[int]
    stages: int

    def plan(self, shape: Shape, parallelism: Parallelism) -> Plan | None:
        """Returns the plan with as many slots as there is room for, None if nothing fits.

        Fewer slots are preferred to an uneven division of layers.
        """
        most = parallelism.slots or self.stages + _SPARE_SLOTS
        even = self._divide_layers(shape)
        plan = self._plan_most_slots(
            most, lambda slots: self._plan_layers(replace(shape, slots=slots), parallelism, even)
        )
        if plan:
            return self._with_more_positions(plan, even)
        return self._plan_most_slots(
            most, lambda slots: self._plan_by_room(replace(shape, slots=slots), parallelism)
        )

    @staticmethod
    def _plan_most_slots(most: int, plan_with: Callable[[int], Plan | None]) -> Plan | None:
        """Returns the plan with the most slots that fits, None if not even one slot fits: each
        slot takes some of every heap."""
        least = plan_with(1)
        if not least:
            return None
        more = (plan_with(slots) for slots in range(most, 1, -1))
        return next(filter(None, more), least)

    def _plan_by_room(self, shape: Shape, parallelism: Parallelism) -> Plan | None:
        """Returns the plan with as many layers in each stage as its heaps allow, None if the
        stages cannot hold all layers."""
        room = self._count_room(shape)
        if not room:
            return None
        layers = level(shape.config.layers, room, self._weights(shape))
        if sum(layers) < shape.config.layers or not min(layers):
            return None
        return self._plan_layers(shape, parallelism, layers)

    def _with_more_positions(self, plan: Plan, layers: Sequence[int]) -> Plan:
        """Returns the plan with as many positions in a request as there is room for."""
        roomy = replace(self, heaps=[heap - GROWTH_LEAVES for heap in self.heaps])
        for roomier in list_roomier(self.strategy, plan.shape, plan.shape.slots):
            grown = roomy._plan_layers(roomier, plan.parallelism, layers)
            if grown and grown.shards == plan.shards:
                return grown
        return plan

    def count_missing(self, shape: Shape) -> int:
        """Returns the bytes that do not fit, with layers divided evenly and one sequence."""
        return sum(
            self._plan_stage(shape, at, layers).work.missing
            for at, layers in enumerate(self._divide_layers(shape))
        )

    def _weights(self, shape: Shape) -> list[int]:
        """Returns the speed of each group: the number of its chips, if all boards are alike."""
        groups = group_chips(shape.chips, self.stages)
        return [sum(self.speeds[group.start : group.stop]) for group in groups]

    def _divide_layers(self, shape: Shape) -> list[int]:
        """Returns how many layers each group gets, in proportion to its speed, at least one."""
        layers, weights = shape.config.layers, self._weights(shape)
        divided = level(layers, [layers] * len(weights), weights)
        if min(divided):
            return divided
        rest = layers - len(weights)
        return [1 + more for more in level(rest, [rest] * len(weights), weights)]

    def _count_room(self, shape: Shape) -> list[int]:
        """Returns how many layers each stage could hold, nothing if one could hold none."""
        every = range(1, shape.config.layers + 1)
        found: dict[tuple[object, ...], int] = {}
        room = []
        for at, group in enumerate(group_chips(shape.chips, self.stages)):
            own = slice(group.start, group.stop)
            # How stages differ: the first has the gateway, the last the vocabulary.
            kind = at == 0, at == self.stages - 1, *self.heaps[own], *self.speeds[own]
            if kind not in found:
                found[kind] = bisect_left(every, True, key=partial(self._is_short, shape, at))
            if not found[kind]:
                return []
            room.append(found[kind])
        return room

    def _is_short(self, shape: Shape, at: int, layers: int) -> bool:
        """Returns whether a stage cannot hold so many layers, and so no more either: each takes
        some of every heap."""
        return self._plan_stage(shape, at, layers).work.missing > 0

    def _plan_layers(
        self, shape: Shape, parallelism: Parallelism, layers: Sequence[int]
    ) -> Plan | None:
        """Returns the plan with these numbers of layers, None if a stage does not fit."""
        stages: list[Stage] = []
        shards: list[Shard] = []
        groups = group_chips(shape.chips, self.stages)
        for at, held in enumerate(blocks(layers)):
            stage = self._plan_stage(shape, at, len(held))
            if stage.work.missing:
                return None
            stages.append(Stage(held, groups[at], stage.shape))
            shards += stage.work.shards
        whole = replace(shape, last=len(groups[-1]))
        return Plan(
            replace(parallelism, stages=self.stages), self.strategy, whole, tuple(stages),
            tuple(shards),
        )  # fmt: skip

    def _plan_stage(self, shape: Shape, at: int, layers: int) -> _PlannedStage:
        """Returns the stage at this place of the pipeline, with `layers` layers."""
        groups = group_chips(shape.chips, self.stages)
        group, is_last = groups[at], at == len(groups) - 1
        # On serial lines the host relays messages for several chips to all chips; in a ring, chips
        # relay them for each other.
        is_reached = shape.link.has_one_line or len(groups[-1]) > 1
        own = replace(
            shape,
            config=replace(shape.config, layers=layers),
            chips=len(group),
            heard=shape.chips - len(group) if is_reached else 0,
            last=len(groups[-1]),
            answers=is_last,
        )
        rows = shape.config.vocab_size if is_last else 0
        heaps, speeds = (of[group.start : group.stop] for of in (self.heaps, self.speeds))
        work = distribute(
            self.strategy, own, heaps, speeds, first=group.start, vocabulary=rows
        )
        return _PlannedStage(own, work)
