"""Which heads, feed-forward units and vocabulary rows each chip owns."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from host.errors import ModelError
from host.model.checkpoint import Config
from host.model.quantized import QuantizedModel
from host.parallel.assignment import LocalSizes, ShardingPlan, blocks, level
from host.parallel.heap import (
    COMBINE,
    RESIDUAL_BITS,
    HeapNeed,
    Shape,
    heap_need,
    row_bytes,
    unit_bytes,
    usable,
)
from host.parallel.limits import check_limits
from protocol.frame import HEADER_SIZE, MAX_PAYLOAD
from protocol.messages import REQUEST_SIZE, STEP_DATA

MAX_CHIPS = 254  # ids 0 to 253 on the wire
# More positions in a request save less and less waiting, cost a chip buffers, and on the radio
# come back in more frames at once than a gateway can take in.
MAX_POSITIONS_UART, MAX_POSITIONS_RADIO = 4, 2
_PARTIAL_HEAD = REQUEST_SIZE + 3  # boot id and width
MAX_ROWS = (MAX_PAYLOAD[2] - REQUEST_SIZE - 5) // 2  # logits that one message carries
# What a unit and a row cost beside their weights: accumulators, and the row's place in an answer.
_UNIT_BUFFERS, _ROW_BUFFERS = 8, 8
_LEAST_USEFUL = 16  # positions: with fewer a model has hardly anything to go on from
_UNBOUNDED = 1 << 40  # bytes of heap, where there is no bound


class DoesNotFit(ModelError):
    """The chips' heaps are too small; the message says by how much and how many chips would do.

    chips: that number, None where none would.
    """

    def __init__(self, message: str, chips: int | None) -> None:
        super().__init__(message)
        self.chips = chips


@dataclass(frozen=True)
class Share:
    """One chip's part of every layer and of the vocabulary, by global indices."""

    chip: int
    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    units: range
    rows: range


@dataclass(frozen=True)
class Stage:
    """Whole layers and the group of chips that holds them; shape: what these have in common."""

    layers: range
    chips: range
    shape: Shape


@dataclass(frozen=True)
class Plan:
    """A division of a model among chips. stages: of a pipeline, none where all chips have a part
    of every layer."""

    shape: Shape
    shares: tuple[Share, ...]
    stages: tuple[Stage, ...] = ()

    @property
    def config(self) -> Config:
        """The model's dimensions."""
        return self.shape.config

    @property
    def chips(self) -> int:
        """How many chips there are."""
        return self.shape.chips

    @property
    def context(self) -> int:
        """Positions that the KV caches hold."""
        return self.shape.context

    @property
    def positions(self) -> int:
        """How many positions of a prompt go into one request at most."""
        return self.shape.positions

    @property
    def combine(self) -> str:
        """Who adds up the partial sums, one of memory.COMBINE."""
        return self.shape.combine

    def stage_of(self, chip: int) -> Stage:
        """The stage that a chip belongs to: all of the model where there are none."""
        for stage in self.stages:
            if chip in stage.chips:
                return stage
        return Stage(range(self.config.layers), range(self.chips), self.shape)

    def group(self, layer: int) -> range:
        """The chips that have a part in a layer."""
        groups = (stage.chips for stage in self.stages if layer in stage.layers)
        return next(groups, range(self.chips))

    def local_sizes(self, share: Share) -> LocalSizes:
        """How much of a layer a chip's share is."""
        counts = len(share.heads), len(share.kv_heads), len(share.units)
        return LocalSizes(*counts, self.config.head_dim)

    def heap_need(self, share: Share) -> HeapNeed:
        """What a chip's share takes of its heap."""
        shape = self.stage_of(share.chip).shape
        return heap_need(shape, share.chip, self.local_sizes(share), len(share.rows))


def tensor_parallel(
    model: QuantizedModel,
    chips: int,
    context: int | None = None,
    *,
    heap: int | Sequence[int] | None = None,
    speeds: Sequence[int] | None = None,
    mtu: int | None = None,
    signed: bool = False,
    strict: bool = False,
    combine: str = "host",
) -> Plan:
    """Every layer divided among all chips.

    Heads are dealt as assignment.dealt_heads says. Units and rows are dealt evenly, or where
    chips differ in proportion to their speeds: attention and feed-forward are separated by a
    synchronization, so a chip that waits in one cannot make up for it in the other, and each
    phase takes as long as its busiest chip. Only where a chip's heap is too small for that do
    others take more.

    heap: bytes of the heap of every chip, or of each, None for no bound; speeds: of each chip, as
    clocks or any other measure, None where all are alike; mtu: the radio's, None on UART; signed:
    whether frames are; strict: whether heads, KV heads and units must be divisible by `chips`;
    combine: who adds up the partial sums, "host" or "chips". Raises ModelError for a count,
    context, `combine`, heaps or speeds that cannot be, ParallelError where `strict` finds a
    remainder, and DoesNotFit where the heaps are too small.
    """
    config = model.config
    shape = shape_of(model, chips, context, mtu, signed, combine)
    check_vocabulary(config.vocab_size, chips)
    heaps = heaps_of(heap, chips)
    speeds = speeds_of(speeds, chips)
    if strict:
        _evenly_dealt(config, chips, strict=True)
    missing, shares = dealt(shape, heaps, speeds)
    if missing:
        enough = _enough_chips(shape, heaps[0]) if len(set(heaps)) == 1 else None
        less = largest_context(shape, lambda less: not dealt(less, heaps, speeds)[0])
        raise DoesNotFit(advice(shape, heaps, missing, enough, less), enough)
    return Plan(shape, tuple(shares))


def shape_of(
    model: QuantizedModel,
    chips: int,
    context: int | None,
    mtu: int | None,
    signed: bool,
    combine: str,
) -> Shape:
    """What the chips will have in common. Raises ModelError for what cannot be."""
    config = model.config
    if not 1 <= chips <= MAX_CHIPS:
        raise ModelError(f"{chips} chips: a federation has 1 to {MAX_CHIPS}")
    if combine not in COMBINE:
        raise ModelError(f"combine {combine!r}: it is {' or '.join(COMBINE)} that add up")
    context = config.context if context is None else context
    if not 1 <= context <= config.context:
        raise ModelError(
            f"context {context}: the model was made for 1 to {config.context} positions"
        )
    check_limits(config, context)
    bits = accumulator_bits(model)
    positions = _positions(model, bits, mtu, combine)
    return Shape(config, chips, context, positions, bits, mtu, signed, combine)


def check_vocabulary(tokens: int, chips: int) -> None:
    """Raises ModelError where so many chips cannot answer with the logits of all tokens."""
    if tokens > chips * MAX_ROWS:
        raise ModelError(
            f"a vocabulary of {tokens} tokens takes at least {_ceil(tokens, MAX_ROWS)} chips,"
            f" each answering with {MAX_ROWS}"
        )


def heaps_of(heap: int | Sequence[int] | None, chips: int) -> list[int]:
    """Bytes of each chip's heap."""
    if heap is None or isinstance(heap, int):
        return [_UNBOUNDED if heap is None else heap] * chips
    if len(heap) != chips:
        raise ModelError(f"{len(heap)} heaps for {chips} chips: give one, or one for each")
    return list(heap)


def speeds_of(speeds: Sequence[int] | None, chips: int) -> list[int]:
    """How fast each chip is, one where all are alike."""
    if speeds is None:
        return [1] * chips
    if len(speeds) != chips or min(speeds) < 1:
        raise ModelError(f"speeds {list(speeds)}: {chips} chips have as many, all above 0")
    return list(speeds)


def dealt(
    shape: Shape,
    heaps: Sequence[int],
    speeds: Sequence[int] | None = None,
    first: int = 0,
    vocabulary: int | None = None,
) -> tuple[int, list[Share]]:
    """How many bytes of weights find no room, and the shares where all do.

    first: the first of the chips; vocabulary: rows of the classifier, None for all.
    """
    config = shape.config
    vocabulary = config.vocab_size if vocabulary is None else vocabulary
    even = _evenly_dealt(config, shape.chips)
    room = [
        usable(heap) - heap_need(shape, first + rank, replace(sizes, intermediate=0), 0).total
        for rank, heap in enumerate(heaps)
        for sizes in [even.local_sizes(rank, config.head_dim)]
    ]
    row, unit = row_bytes(config) + _ROW_BUFFERS, unit_bytes(config) + _UNIT_BUFFERS
    short = sum(-size for size in room if size < 0)
    rows = level(vocabulary, [min(size // row, MAX_ROWS) for size in room], speeds)
    room = [size - count * row for size, count in zip(room, rows, strict=True)]
    units = level(config.hidden_dim, [size // unit for size in room], speeds)
    missing = (vocabulary - sum(rows)) * row + (config.hidden_dim - sum(units)) * unit
    if short or missing:
        return short + missing, []
    return 0, [
        Share(chip, *parts)
        for chip, parts in enumerate(
            zip(even.heads, even.kv_heads, blocks(units), blocks(rows), strict=True), first
        )
    ]


def _evenly_dealt(config: Config, chips: int, strict: bool = False) -> ShardingPlan:
    """Every layer's heads and units, whatever the chips' heaps."""
    return ShardingPlan.from_config(
        config.heads, config.kv_heads, config.hidden_dim, chips, strict=strict
    )


def _enough_chips(shape: Shape, heap: int) -> int | None:
    """How many chips would do where those of `shape` do not."""
    more = range(shape.chips + 1, MAX_CHIPS + 1)
    return next((n for n in more if not dealt(replace(shape, chips=n), [heap] * n)[0]), None)


def largest_context(shape: Shape, fits: Callable[[Shape], bool]) -> int:
    """The most positions below the shape's with which it fits, 0 where there are none."""
    contexts = range(1, shape.context)
    return bisect_left(
        contexts, True, key=lambda context: not fits(replace(shape, context=context))
    )


def advice(
    shape: Shape,
    heaps: Sequence[int],
    missing: int,
    enough: int | None,
    context: int,
    most: int = MAX_CHIPS,
) -> str:
    """What is missing, and what would do: so many chips, where all are alike, of `most` that were
    tried, and so many positions, 0 for none."""
    alike = len(set(heaps)) == 1
    sizes = ", ".join(str(heap // 1024) for heap in (heaps[:1] if alike else heaps))
    text = (
        f"{shape.chips} chip{'s' if shape.chips > 1 else ''} with {sizes} KB of heap"
        f" {'are' if shape.chips > 1 else 'is'} {_ceil(missing, 1024)} KB short of the model"
        f" with a context of {shape.context}"
    )
    less = f", or --context {context}" if context >= _LEAST_USEFUL else ""
    if enough:
        return f"{text}: {enough} chips would do{less}"
    if shape.mtu and not shape.chips_combine:
        less += ", or try --link uart"  # the radio takes memory for itself
    if not alike:
        return f"{text}: use more boards, or boards with more heap{less}"
    tried = f" up to {most}" if most < MAX_CHIPS else ""
    return f"{text}, and no number of chips{tried} would do: use boards with more heap{less}"



def _positions(model: QuantizedModel, bits: int, mtu: int | None, combine: str) -> int:
    """As many positions as one message carries, there and packed back, and the link takes well."""
    most = MAX_POSITIONS_UART if mtu is None else MAX_POSITIONS_RADIO
    there = (MAX_PAYLOAD[2] - REQUEST_SIZE) // (2 * model.config.dim)
    if combine == "chips":
        room = HEADER_SIZE + MAX_PAYLOAD[2] - STEP_DATA
        there = room * 8 // (model.config.dim * RESIDUAL_BITS)
    back = (MAX_PAYLOAD[2] - _PARTIAL_HEAD) * 8 // (model.config.dim * bits)
    if not min(there, back):
        raise ModelError(
            f"dim {model.config.dim}: {bits}-bit partial sums of one position do not fit a message"
            f" of {MAX_PAYLOAD[2]} bytes"
        )
    return min(there, back, most)


def accumulator_bits(model: QuantizedModel) -> int:
    """Bits of the widest partial sum that a chip can send: a row's L1 norm times the largest
    input."""
    largest = 0
    for layer in model.layers:
        for linear, limit in ((layer.o, layer.v_limit), (layer.down, layer.hidden_limit)):
            norm = int(np.abs(linear.weight.astype(np.int64)).sum(axis=1).max())
            largest = max(largest, norm * limit)
    return largest.bit_length() + 1


def _ceil(total: int, parts: int) -> int:
    return -(-total // parts)
