"""Tensor parallelism in which chips exchange finished activations in place of partial sums.

Each chip has rows of the output and the down projection: those of its own elements of the residual
stream. In each phase of a layer, chips exchange the activations of their heads or units; then each
computes its elements of the residual stream, and they exchange these. Each number is sent once,
whereas in all-reduce every chip sends a partial sum for each. The bytes of a layer, with
activations of `a` bits and a residual stream of `r` bits, are (heads + units) * a / 8 + 2 * dim *
r / 8, whatever the number of chips, instead of chips * 2 * dim * bits / 8; but in four collectives
instead of two.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from host.errors import ModelError
from host.model.checkpoint import Config
from host.model.groups import COLUMNS
from host.model.outline import Divisible
from host.parallel.assignment import LocalSizes, blocks, level
from host.parallel.distribution import distribute_evenly
from host.parallel.heap import HeapNeed, matrix_bytes
from host.parallel.limits import KERNEL_COLUMNS
from host.parallel.parallelism import ALL_GATHERED, Parallelism
from host.parallel.plan import Plan, Resources, Shard
from host.parallel.shape import RESIDUAL_BITS, Shape
from host.parallel.sharding import head_rows
from host.parallel.strategies.all_reduce import AllReduce
from host.parallel.strategies.traffic import frame_limit
from host.parallel.synchronization import (
    FINISHED_ATTENTION,
    FINISHED_FEED_FORWARD,
    GATHERED_HEADS,
    GATHERED_UNITS,
    Message,
    Synchronization,
    Width,
    Widths,
)
from host.wire.framing import frame_room
from protocol.bitpack import packed_size
from protocol.collective import CONTRIBUTION_FIELDS
from protocol.frame import BROADCAST
from protocol.message_types import CONTRIBUTION
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD
from protocol.shard_layout import VECTORS

# What the role adds to a chip's code and objects besides all-reduce's. Measured, as heap.CODE.
ROLE_CODE = 2_000
# Bytes of the objects for a position's slice, a chip's edges, and a block of a matrix's columns.
_SLICE, _CHIP, _BLOCK = 64, 40, 80
# A chip has at most this multiple of the even part of units, because each chip's buffers must hold
# what the busiest one sends.
_MOST_SHARES = 2
# The most rows of a projection by which rounding enlarges a chip's part.
_ROUNDING = 2
# The collectives of a layer: their phase, of which each is a part, and what comes of it.
_PHASES = (
    (PHASE_ATTENTION, GATHERED_HEADS, FINISHED_ATTENTION),
    (PHASE_FEED_FORWARD, GATHERED_UNITS, FINISHED_FEED_FORWARD),
)


class AllGather(AllReduce):
    """Chips exchange activations, and then elements of the residual stream."""

    exchange = ALL_GATHERED
    summary = "chips keep the residual stream and exchange activations in place of partial sums"
    role = "all_gather"
    collectives = 4
    # Only if the partial sums of a position are several frames of 250 bytes: else twice as many
    # collectives cost more than the fewer bytes save.
    narrowest = 160

    def candidates(self, layers: int, chips: int) -> tuple[Parallelism, ...]:
        """Returns this parallelism for more than two chips: with two, all-gather saves nothing."""
        return (self.make_parallelism(layers, chips, None),) if chips > 2 else ()

    def make_parallelism(self, layers: int, chips: int, stages: int | None) -> Parallelism:
        made = super().make_parallelism(layers, chips, stages)
        return replace(made, exchange=self.exchange)

    def describe_options(self, parallelism: Parallelism) -> str:
        return f"{super().describe_options(parallelism)} --exchange {self.exchange}"

    def describe(self, parallelism: Parallelism) -> str:
        return f"{self.name}, all-gather"

    def element_bits(self, model: Divisible) -> int:
        return RESIDUAL_BITS

    def most_units(self, shape: Shape) -> int:
        most = _MOST_SHARES * -(-shape.config.hidden_dim // shape.chips)
        if "w2" in shape.config.grouped:
            most += -most % COLUMNS  # as distribution.distribute gives them
        return min(shape.config.hidden_dim, most)

    def most_elements(self, shape: Shape) -> int:
        """Returns the most elements of the residual stream that a chip finishes."""
        config = shape.config
        columns = self._most_heads(shape) * config.head_dim + self.most_units(shape)
        part = -(-config.dim * columns // count_columns(config))
        return min(config.dim, part + _ROUNDING)

    @staticmethod
    def _most_heads(shape: Shape) -> int:
        return max(
            heads
            for by_group in (False, True)  # as distribution.distribute tries them
            for heads, _ in distribute_evenly(
                shape.config, shape.chips, by_group=by_group
            ).head_counts
        )

    def longest_part(self, shape: Shape) -> int:
        """Returns the most elements that a chip contributes at one position: the shard's
        `gather`."""
        heads = self._most_heads(shape) * shape.config.head_dim
        return max(heads, self.most_units(shape), self.most_elements(shape))

    def contributed(self, shape: Shape) -> int:
        return shape.positions * self.longest_part(shape)

    def partition(
        self,
        model: Divisible,
        parallelism: Parallelism,
        resources: Resources,
        *,
        strict: bool = False,
    ) -> Plan:
        if resources.chips > model.config.dim:
            raise ModelError(
                f"{resources.chips} chips cannot share the {model.config.dim} elements of the"
                " residual stream: leave --exchange out"
            )
        return super().partition(model, parallelism, resources, strict=strict)

    def finish(self, shape: Shape, shards: Sequence[Shard]) -> Sequence[Shard]:
        """Returns the shards with elements of the residual stream, at least one each, in
        proportion to their columns of the projections."""
        size = shape.config.head_dim
        columns = [len(shard.heads) * size + len(shard.units) for shard in shards]
        spare = shape.config.dim - len(shards)
        counts = level(spare, [spare] * len(shards), columns)
        owned = blocks([count + 1 for count in counts])
        return [
            replace(shard, elements=elements)
            for shard, elements in zip(shards, owned, strict=True)
        ]

    def rounding_bytes(self, shape: Shape, padding: int) -> int:
        config, rows = shape.config, self.most_elements(shape)
        columns = config.heads * config.head_dim, config.hidden_dim
        filled = sum(-each % padding for each in columns)
        filled += 2 * 4 * (padding == VECTORS)
        return config.layers * (_ROUNDING * sum(columns) + rows * filled + 2 * padding)

    def exchange_bytes(self, shape: Shape) -> int:
        """Returns the residual stream, two vectors of all chips' elements, two contributions of
        its own and the one that it computes, in place of all-reduce's; a row of a vector, and the
        frame that goes out."""
        config, own = shape.config, self.contributed(shape)
        wide = max(config.heads * config.head_dim, config.hidden_dim)
        elements = shape.elements + 2 * shape.positions * max(wide, config.dim) + 3 * own
        elements += wide + self.most_elements(shape)
        columns = config.heads * config.head_dim, config.hidden_dim
        objects = _SLICE * shape.positions + _CHIP * shape.chips
        objects += _BLOCK * sum(-(-count // KERNEL_COLUMNS) for count in columns)
        # All-reduce's contribution is in the workspace.
        vectors = 4 * (elements - shape.elements) + objects
        return vectors + self.exchange_frame(shape) + self.bank_bytes(shape)

    def vector_bytes(self, shape: Shape) -> int:
        config = shape.config
        wide = max(config.heads * config.head_dim, config.hidden_dim, config.dim)
        return 4 * shape.positions * wide

    def flash_buffers(self, shape: Shape, block: int, sizes: LocalSizes) -> int:
        """Returns all-reduce's, and a row of a vector and the chip's elements for each further
        position."""
        config, more = shape.config, (shape.positions - 1) * (block > 0 and shape.together)
        wide = max(config.heads * config.head_dim, config.hidden_dim)
        columns = config.heads * config.head_dim, config.hidden_dim
        objects = sum(-(-count // KERNEL_COLUMNS) for count in columns) * _SLICE
        each = 4 * (wide + self.most_elements(shape)) + objects
        return super().flash_buffers(shape, block, sizes) + more * each

    def heap_need(self, shape: Shape, chip: int, sizes: LocalSizes, rows: int) -> HeapNeed:
        need = super().heap_need(shape, chip, sizes, rows)
        more = 0 if shape.block(chip) else self.rounding_bytes(shape, 1)
        return replace(need, weights=need.weights + more)

    def settle_need(self, shape: Shape, shard: Shard, need: HeapNeed) -> HeapNeed:
        if shape.block(shard.chip):
            return need
        config = shape.config
        rows, heads = len(shard.elements), len(shard.heads) * config.head_dim
        projected = matrix_bytes(config, "wo", rows * config.q_dim - config.dim * heads)
        units = rows * config.hidden_dim - config.dim * len(shard.units)
        projected += matrix_bytes(config, "w2", units)
        bound = self.rounding_bytes(shape, 1)
        return replace(need, weights=need.weights - bound + config.layers * projected)

    def code_bytes(self, shape: Shape, place: str) -> int:
        return super().code_bytes(shape, place) + ROLE_CODE

    def has_many_names(self, shape: Shape) -> bool:
        return shape.link.has_radio or shape.link.signed

    def synchronizations(
        self, plan: Plan, greedy: bool, widths: Widths, rows: int = 1
    ) -> Sequence[Synchronization]:
        """Returns all-reduce's synchronizations, with two exchanges in place of each."""
        token = super().synchronizations(plan, greedy, widths, rows)
        parts = {phase: (gathered, finished) for phase, gathered, finished in _PHASES}
        made = []
        for each in token:
            if each.phase not in parts:
                made.append(each)
                continue
            gathered, finished = (
                tuple(_list_parts(plan, each.layer, part, widths.partial_sum, rows))
                for part in parts[each.phase]
            )
            first, second = parts[each.phase]
            made.append(Synchronization(each.layer, first, each.requests, gathered))
            made.append(Synchronization(each.layer, second, (), finished))
        return made


def count_columns(config: Config) -> int:
    """Returns the number of columns of the output and the down projection together."""
    return config.heads * config.head_dim + config.hidden_dim


def part_size(plan: Plan, shard: Shard, phase: int) -> int:
    """Returns how many elements a chip contributes to a phase's collective at one position."""
    if phase == GATHERED_HEADS:
        return len(shard.heads) * plan.config.head_dim
    return len(shard.units if phase == GATHERED_UNITS else shard.elements)


def describe_gather(plan: Plan) -> list[list[int] | int]:
    """Returns the field `gather` of the shard's header."""
    edges = [
        [0, *itertools.accumulate(part_size(plan, shard, phase) for shard in plan.shards)]
        for phase in (GATHERED_HEADS, GATHERED_UNITS, FINISHED_FEED_FORWARD)
    ]
    return [*edges, STRATEGY.longest_part(plan.shape)]


def list_head_columns(plan: Plan) -> list[int]:
    """Returns the columns of the output projection in the order in which chips have them."""
    heads = tuple(head for shard in plan.shards for head in shard.heads)
    columns: list[int] = head_rows(heads, plan.config.head_dim).tolist()
    return columns


def _list_parts(
    plan: Plan, layer: int, phase: int, width: Width, rows: int
) -> Iterator[Message]:
    """Yields what chips send to each other in a collective, in pieces as in
    protocol/collective.py: a chip without a part in it sends an empty one."""
    version, mtu = frame_limit(plan)
    room = frame_room(version, mtu) - CONTRIBUTION_FIELDS
    for shard in plan.shards if plan.chips > 1 else ():
        count = rows * part_size(plan, shard, phase)
        bits = width(layer, phase, shard.chip, range(count)) if count else 1
        most = room * 8 // bits
        for first in range(0, max(count, 1), most):
            packed = packed_size(min(most, count - first), bits)
            yield Message(CONTRIBUTION, shard.chip, BROADCAST, CONTRIBUTION_FIELDS + packed)


STRATEGY = AllGather()
