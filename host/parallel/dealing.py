"""Dealing one group's heads, units and rows to its chips, as far as their heaps have room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from host.errors import ModelError
from host.model.checkpoint import Config
from host.model.outline import Divisible
from host.model.sampling import count_candidates
from host.parallel.assignment import LocalSizes, ShardingPlan, blocks, level
from host.parallel.flash import flash_bytes
from host.parallel.heap import row_bytes, unit_bytes, usable_heap
from host.parallel.limits import check_limits
from host.parallel.plan import MAX_CHIPS, Resources, Shard, Strategy
from host.parallel.shape import LONGEST_RXBUF, Shape
from host.wire.framing import frame_room
from protocol.collective import CONTRIBUTION_FIELDS
from protocol.fragment import MAX_FRAGMENTS, MAX_MESSAGE, fragment_room
from protocol.frame import MAX_PAYLOAD
from protocol.messages import MOST_CANDIDATES, MOST_LOGITS, REQUEST_SIZE
from protocol.wide_collective import MOST_MEMBERS, MOST_PIECES

# More positions in a request save less and less waiting, cost a chip buffers, and on the radio
# come back in more frames at once than a gateway can take in. So a plan counts with these, and has
# more, as far as heaps allow that as it is, where the link takes them well.
MAX_POSITIONS_UART, MAX_POSITIONS_RADIO = 4, 2
MOST_POSITIONS = 8
# Bytes of each heap that more positions and slots leave: native programs take what is free.
GROWTH_LEAVES = 16_384
_PARTIAL_HEAD = REQUEST_SIZE + 3  # boot id and width
MAX_ROWS = 0xFFFF  # that a chip can name
# What a unit and a row cost beside their weights: accumulators, and the row's place in an answer.
_UNIT_BUFFERS, _ROW_BUFFERS = 8, 8


def make_shape(strategy: Strategy, model: Divisible, resources: Resources) -> Shape:
    """What the chips will have in common. Raises ModelError for what cannot be."""
    config, chips, link = model.config, resources.chips, resources.link
    if not 1 <= chips <= MAX_CHIPS:
        raise ModelError(f"chips must be 1 to {MAX_CHIPS}, got {chips}")
    context = config.context if resources.context is None else resources.context
    if not 1 <= context <= config.context:
        raise ModelError(f"context must be 1 to {config.context}, the model's, got {context}")
    check_limits(config, context)
    bits = strategy.element_bits(model)
    positions = _request_positions(strategy, config.dim, bits, link.mtu)
    shape = Shape(config, chips, context, positions, bits, link, flash=resources.flash)
    if strategy.keeps_residual:
        banks = strategy.exchange_banks(shape)
        if chips * banks > MOST_MEMBERS:
            raise ModelError(
                f"{chips} chips cannot add up {config.dim} elements among themselves over this"
                f" link: at most {MOST_MEMBERS // banks} can, or the host with --reduce host"
            )
    return shape


def list_roomier(strategy: Strategy, shape: Shape, slots: int) -> Iterator[Shape]:
    """Shapes with more sequences, at most so many, and more positions: the best first.

    On the radio, with as many positions as a frame carries, there and back; of wide models, of
    which a frame carries one at most, with as many as a message does.
    """
    in_a_frame = _positions(strategy, shape.config.dim, shape.bits, MAX_PAYLOAD)
    is_wide = in_a_frame < 2
    most = _most_positions(strategy, shape)
    counts = [
        positions
        for positions in range(most, shape.positions, -1)
        if _goes_well(strategy, replace(shape, positions=positions), is_wide)
    ]
    for each in range(max(slots, shape.slots), shape.slots - 1, -1):
        for positions in (*counts, shape.positions):
            if (each, positions) != (shape.slots, shape.positions):
                yield replace(shape, slots=each, positions=positions)


def _goes_well(strategy: Strategy, shape: Shape, is_wide: bool) -> bool:
    """Whether the link takes so many positions well: in frames, or in buffers."""
    if not is_wide:
        return strategy.goes_in_a_frame(shape)
    rxbuf = strategy.uart_rxbuf(shape)
    if shape.mtu is not None:
        rxbuf = max(rxbuf, strategy.radio_rxbuf(shape, True), strategy.radio_rxbuf(shape, False))
    return rxbuf <= LONGEST_RXBUF


def _most_positions(strategy: Strategy, shape: Shape) -> int:
    """How many positions one message carries in its fragments, there and back, and
    CONTRIBUTIONs in their pieces."""
    mtu, bits, dim = min(shape.mtus), shape.bits, shape.config.dim
    message = min(MAX_MESSAGE, MAX_FRAGMENTS * fragment_room(3, mtu))
    piece = (frame_room(3, mtu) - CONTRIBUTION_FIELDS) * 8 // bits
    return min(
        MOST_POSITIONS,
        _positions(strategy, dim, bits, message - shape.runs_bytes),
        MOST_PIECES * piece // dim,
    )


def _positions(strategy: Strategy, dim: int, bits: int, size: int) -> int:
    """How many positions' activations, and packed partial sums, go in `size` bytes of payload."""
    back = (size - _PARTIAL_HEAD) * 8 // (dim * bits)
    return min(strategy.request_positions(dim, size), back)


def describe_vocabulary(tokens: int, chips: int) -> str:
    """Why so many chips cannot answer with the logits of all tokens, empty where they can."""
    if tokens <= chips * MAX_ROWS:
        return ""
    return (
        f"a vocabulary of {tokens} tokens takes at least {-(-tokens // MAX_ROWS)} chips, each"
        f" with {MAX_ROWS} of them, and {chips} {'are' if chips > 1 else 'is'} there"
    )


def deal_evenly(
    config: Config, chips: int, *, strict: bool = False, by_group: bool = False
) -> ShardingPlan:
    """Every layer's heads and units, whatever the chips' heaps.

    by_group: whether heads of a KV group stay together. Raises ParallelError where `strict` finds
    a remainder.
    """
    sizes = config.heads, config.kv_heads, config.hidden_dim
    return _deal_dimensions(*sizes, chips, strict, by_group)


@lru_cache(maxsize=1024)  # the same few are dealt again and again while numbers of chips are tried
def _deal_dimensions(
    heads: int, kv_heads: int, units: int, chips: int, strict: bool, by_group: bool
) -> ShardingPlan:
    return ShardingPlan.from_config(
        heads, kv_heads, units, chips, strict=strict, by_group=by_group
    )


def deal(
    strategy: Strategy,
    shape: Shape,
    heaps: Sequence[int],
    speeds: Sequence[int],
    first: int = 0,
    vocabulary: int | None = None,
) -> tuple[int, list[Shard]]:
    """How many bytes of weights find no room, and the shards where all do.

    Heads are dealt as assignment.dealt_heads says; where KV heads that are held twice leave too
    little room, those of a KV group stay together. Units and rows are dealt evenly, or where
    chips differ in proportion to their speeds: attention and feed-forward are separated by a
    synchronization, so a chip that waits in one cannot make up for it in the other, and each
    phase takes as long as its busiest chip. Only where a chip's heap is too small for that do
    others take more.

    first: the first of the chips; vocabulary: rows of the classifier, None for all.
    """
    vocabulary = shape.config.vocab_size if vocabulary is None else vocabulary
    even = deal_evenly(shape.config, shape.chips)
    grouped = deal_evenly(shape.config, shape.chips, by_group=True)
    missing, shards = _deal_heads(strategy, shape, heaps, speeds, first, vocabulary, even)
    if missing and grouped != even:
        return _deal_heads(strategy, shape, heaps, speeds, first, vocabulary, grouped)
    return missing, shards


def _deal_heads(
    strategy: Strategy,
    shape: Shape,
    heaps: Sequence[int],
    speeds: Sequence[int],
    first: int,
    vocabulary: int,
    heads: ShardingPlan,
) -> tuple[int, list[Shard]]:
    """What `deal` gives with these heads."""
    tight = _deal_with(strategy, shape, heaps, speeds, first, vocabulary, heads, 0)
    for heap, shard in zip(heaps, tight[1], strict=False):
        counts = len(shard.heads), len(shard.kv_heads), len(shard.units)
        sizes = LocalSizes(*counts, shape.config.head_dim)
        need = strategy.heap_need(shape, shard.chip, sizes, len(shard.rows)).total
        if need > usable_heap(heap):
            break
    else:
        return tight
    spare = _answers_growth(strategy, shape, first + len(heaps) - 1, vocabulary)
    return _deal_with(strategy, shape, heaps, speeds, first, vocabulary, heads, spare)


def _answers_growth(strategy: Strategy, shape: Shape, chip: int, vocabulary: int) -> int:
    """Bytes that a chip needs at most beyond what its rows are counted as: an answer with the
    logits of several positions is longest with some numbers of rows."""

    def need(rows: int) -> int:
        counted = rows * (row_bytes(shape.config, shape.block(chip)) + _ROW_BUFFERS)
        sizes = LocalSizes(0, 0, 0, shape.config.head_dim)
        return strategy.heap_need(shape, chip, sizes, rows).total - counted

    longest = [MOST_LOGITS // 2 // count for count in range(1, shape.positions + 1)]
    if count_candidates(vocabulary):
        longest = [MOST_CANDIDATES]
    return max(need(rows) for rows in (0, *longest) if rows <= vocabulary) - need(0)


@dataclass
class _Room:
    """Bytes that a chip has left in its heap, and in its flash, where its weights lie there; and
    what a vocabulary row and a feed-forward unit take of both."""

    heap: int
    row: int
    unit: int
    flash: int = 0
    flash_row: int = 0
    flash_unit: int = 0

    @property
    def short(self) -> int:
        """Bytes that are missing already."""
        return max(0, -self.heap) + max(0, -self.flash)

    def less(self, spare: int) -> _Room:
        """Returns the same, with so many bytes of heap less. Of each chip while many numbers of
        chips are tried, for which dataclasses.replace is too slow."""
        heap = self.heap - spare
        return _Room(heap, self.row, self.unit, self.flash, self.flash_row, self.flash_unit)

    def count_rows(self) -> int:
        """How many rows have room."""
        return self._count(self.row, self.flash_row)

    def count_units(self) -> int:
        """How many units have room."""
        return self._count(self.unit, self.flash_unit)

    def take_rows(self, count: int) -> None:
        """Gives so many rows their room."""
        self.heap -= count * self.row
        self.flash -= count * self.flash_row

    def _count(self, heap: int, flash: int) -> int:
        most = max(0, self.heap) // heap
        return min(most, max(0, self.flash) // flash) if flash else most


def _find_room(
    strategy: Strategy, shape: Shape, heap: int, chip: int, heads: int, kv_heads: int
) -> _Room:
    """What a chip with these heads has left for rows and units."""
    config, block = shape.config, shape.block(chip)
    sizes = LocalSizes(heads, kv_heads, 0, config.head_dim)
    left = usable_heap(heap) - strategy.heap_need(shape, chip, sizes, 0).total
    row, unit = row_bytes(config, block) + _ROW_BUFFERS, unit_bytes(config, block) + _UNIT_BUFFERS
    if not block:
        return _Room(left, row, unit)
    flash = shape.flash_room(chip) - flash_bytes(config, sizes, 0, 1)
    flash -= strategy.rounding_bytes(shape, 1)
    return _Room(left, row, unit, flash, config.dim + 2, unit_bytes(config))


def _deal_with(
    strategy: Strategy,
    shape: Shape,
    heaps: Sequence[int],
    speeds: Sequence[int],
    first: int,
    vocabulary: int,
    dealt: ShardingPlan,
    spare: int,
) -> tuple[int, list[Shard]]:
    """What `deal` gives with these heads, if each chip keeps `spare` bytes."""
    config = shape.config

    @cache  # most chips are alike, and only the gateway, chip 0, takes more
    def find(heap: int, chip: int, heads: int, kv_heads: int) -> _Room:
        return _find_room(strategy, shape, heap, chip, heads, kv_heads)

    rooms = [
        find(heap, first + rank if shape.flash else min(first + rank, 1), *counts).less(spare)
        for rank, (heap, counts) in enumerate(zip(heaps, dealt.head_counts, strict=True))
    ]
    row, unit = row_bytes(config) + _ROW_BUFFERS, unit_bytes(config) + _UNIT_BUFFERS
    short = sum(room.short for room in rooms)
    rows = level(vocabulary, [min(room.count_rows(), MAX_ROWS) for room in rooms], speeds)
    for room, count in zip(rooms, rows, strict=True):
        room.take_rows(count)
    most = strategy.most_units(shape)
    units = level(config.hidden_dim, [min(room.count_units(), most) for room in rooms], speeds)
    missing = (vocabulary - sum(rows)) * row + (config.hidden_dim - sum(units)) * unit
    if short or missing:
        return short + missing, []
    return 0, [
        Shard(chip, *parts)
        for chip, parts in enumerate(
            zip(dealt.heads, dealt.kv_heads, blocks(units), blocks(rows), strict=True), first
        )
    ]


def _request_positions(strategy: Strategy, dim: int, bits: int, mtu: int | None) -> int:
    """As many positions as the longest frame on a line carries, there and packed back, and the
    link takes well; one of wide models, which goes in several frames."""
    most = MAX_POSITIONS_UART if mtu is None else MAX_POSITIONS_RADIO
    return max(1, min(most, _positions(strategy, dim, bits, MAX_PAYLOAD)))
