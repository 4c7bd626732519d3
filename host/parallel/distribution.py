"""Distributes heads, units and rows to the chips of a group, as far as their heaps have room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from host.model.checkpoint import Config
from host.model.groups import COLUMNS
from host.model.sampling import count_candidates
from host.parallel.assignment import LocalSizes, ShardingPlan, blocks, level
from host.parallel.flash import ahead_bytes, flash_bytes
from host.parallel.heap import cache_bytes, row_bytes, unit_bytes, usable_heap, weight_bytes
from host.parallel.parallelism import ALL_REDUCED
from host.parallel.plan import Shard, Strategy
from host.parallel.shape import Shape
from protocol.messages import MOST_CANDIDATES, MOST_LOGITS

# Bytes of each heap that more positions and slots leave free, for native programs.
GROWTH_LEAVES = 16_384
# A heap with more bytes than this beside buffers for reading ahead has such buffers.
_READS_AHEAD = 1 << 20
MAX_ROWS = 0xFFFF  # of a chip: their number is a u16
# Bytes of a unit and of a row besides weights: accumulators, and the row's place in an answer.
_UNIT_BUFFERS, _ROW_BUFFERS = 8, 8


def describe_vocabulary(tokens: int, chips: int) -> str:
    """Returns why `chips` chips cannot send the logits of all tokens, "" if they can."""
    if tokens <= chips * MAX_ROWS:
        return ""
    return (
        f"a vocabulary of {tokens} tokens takes at least {-(-tokens // MAX_ROWS)} chips, each"
        f" with {MAX_ROWS} of them, and {chips} {'are' if chips > 1 else 'is'} there"
    )


def distribute_evenly(
    config: Config, chips: int, *, strict: bool = False, by_group: bool = False
) -> ShardingPlan:
    """Returns the sharding of every layer's heads and units, whatever the chips' heaps.

    by_group: whether heads of a KV group stay together. Raises ParallelError if `strict` finds
    a remainder.
    """
    sizes = config.heads, config.kv_heads, config.hidden_dim
    return _shard_dimensions(*sizes, chips, strict, by_group)


@lru_cache(maxsize=1024)  # while numbers of chips are tried, the same few come again and again
def _shard_dimensions(
    heads: int, kv_heads: int, units: int, chips: int, strict: bool, by_group: bool
) -> ShardingPlan:
    return ShardingPlan.from_config(
        heads, kv_heads, units, chips, strict=strict, by_group=by_group
    )


@dataclass(frozen=True)
class Distribution:
    """A group's work by chip. missing: the bytes that do not fit; shards: those of the group's
    chips in order, empty if not all fit."""

    missing: int
    shards: tuple[Shard, ...] = ()


def distribute(
    strategy: Strategy,
    shape: Shape,
    heaps: Sequence[int],
    speeds: Sequence[int],
    first: int = 0,
    vocabulary: int | None = None,
) -> Distribution:
    """Distributes a group's work to its chips.

    Heads are assigned by assignment.assign_heads; if KV heads that are held twice leave too little
    room, those of a KV group stay together. Units and rows are divided evenly or, if chips differ,
    in proportion to their speeds: attention and feed-forward are separated by a synchronization,
    so a chip that waits in one cannot make up for it in the other, and each phase takes as long as
    its busiest chip. Others take more only if a chip's heap is too small for its part.

    Chips that read weights ahead from flash while they wait do make up for it. If they send each
    other partial sums over the radio, chips with heads may leave all units to the others: then
    fewer send sums. It is done where the fullest chip then has no more weights and caches.

    first: id of the first chip; vocabulary: rows of the classifier, None for all.
    """
    vocabulary = shape.config.vocab_size if vocabulary is None else vocabulary
    group = _Group(strategy, shape, heaps, speeds, first, vocabulary)
    split = distribute_evenly(shape.config, shape.chips)
    whole = distribute_evenly(shape.config, shape.chips, by_group=True)
    found = _distribute_with(group, split)
    if found.missing and whole != split:
        found = _distribute_with(group, whole)
    if found.missing or not _can_separate(group):
        return found
    apart = [_distribute_with(group, heads, apart=True) for heads in (whole, split)]
    fitting = [each for each in apart if not each.missing]
    return min(*fitting, found, key=lambda each: _heaviest(group, each)) if fitting else found


@dataclass(frozen=True)
class _Group:
    """What `distribute` is given."""

    strategy: Strategy
    shape: Shape
    heaps: Sequence[int]
    speeds: Sequence[int]
    first: int
    vocabulary: int


def _can_separate(group: _Group) -> bool:
    """Returns whether it may pay that chips with heads have no units."""
    strategy, shape = group.strategy, group.shape
    sends_sums = strategy.keeps_residual and strategy.exchange == ALL_REDUCED
    blocks_of = [shape.block(chip) for chip in range(group.first, group.first + shape.chips)]
    return (
        sends_sums
        and shape.link.has_radio
        and all(
            block and heap > _READS_AHEAD + ahead_bytes(block)
            for block, heap in zip(blocks_of, group.heaps, strict=True)
        )
    )


def _heaviest(group: _Group, found: Distribution) -> int:
    """Returns the most bytes of weights and caches that a chip has."""
    shape, config = group.shape, group.shape.config

    def size(shard: Shard) -> int:
        counts = len(shard.heads), len(shard.kv_heads), len(shard.units)
        sizes = LocalSizes(*counts, config.head_dim)
        return weight_bytes(config, sizes, len(shard.rows)) + cache_bytes(shape, sizes)

    return max(map(size, found.shards))


def _distribute_with(group: _Group, heads: ShardingPlan, *, apart: bool = False) -> Distribution:
    """Distributes units and rows to chips that have these heads; apart: gives units only to chips
    without heads."""
    tight = _fill(group, heads, spare=0, apart=apart)
    shape = group.shape
    alike = {  # of each kind of chip one, as most are alike
        (heap, chip, *_counts(shard))
        for heap, chip, shard in zip(group.heaps, _stand_ins(group), tight.shards, strict=False)
    }
    for heap, chip, count, kv_heads, units, rows in alike:
        sizes = LocalSizes(count, kv_heads, units, shape.config.head_dim)
        need = group.strategy.heap_need(shape, chip, sizes, rows).total
        if need > usable_heap(heap):
            return _fill(group, heads, _answers_growth(group), apart=apart)
    return tight


def _counts(shard: Shard) -> tuple[int, int, int, int]:
    """Returns how many heads, KV heads, units and rows a shard has."""
    return len(shard.heads), len(shard.kv_heads), len(shard.units), len(shard.rows)


def _stand_ins(group: _Group) -> list[int]:
    """Returns for each chip the first one that takes as much beside its part of the work: only the
    gateway, chip 0, takes more, but partitions for weights may differ."""
    found: dict[tuple[bool, int], int] = {}
    chips = range(group.first, group.first + len(group.heaps))
    return [found.setdefault((chip == 0, group.shape.flash_room(chip)), chip) for chip in chips]


def _answers_growth(group: _Group) -> int:
    """Returns the most bytes that a chip needs beyond those counted for its rows: an answer with
    logits of several positions is longest with certain numbers of rows."""
    strategy, shape, vocabulary = group.strategy, group.shape, group.vocabulary
    chip = group.first + len(group.heaps) - 1

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
    """The bytes that a chip has left in its heap and, if its weights lie there, in its flash; and
    what a vocabulary row and a feed-forward unit take of both."""

    heap: int
    row: int
    unit: int
    flash: int = 0
    flash_row: int = 0
    flash_unit: int = 0

    @property
    def short(self) -> int:
        """The bytes that are missing already."""
        return max(0, -self.heap) + max(0, -self.flash)

    def less(self, spare: int) -> _Room:
        """Returns the same with `spare` bytes less of heap. It is called for each chip of many
        numbers of chips that are tried; dataclasses.replace would be too slow."""
        heap = self.heap - spare
        return _Room(heap, self.row, self.unit, self.flash, self.flash_row, self.flash_unit)

    def count_rows(self) -> int:
        """Returns how many rows there is room for."""
        return self._count(self.row, self.flash_row)

    def count_units(self) -> int:
        """Returns how many units there is room for."""
        return self._count(self.unit, self.flash_unit)

    def take_rows(self, count: int) -> None:
        """Takes the room of `count` rows."""
        self.heap -= count * self.row
        self.flash -= count * self.flash_row

    def _count(self, heap: int, flash: int) -> int:
        most = max(0, self.heap) // heap
        return min(most, max(0, self.flash) // flash) if flash else most


def _find_room(
    strategy: Strategy, shape: Shape, heap: int, chip: int, heads: int, kv_heads: int
) -> _Room:
    """Returns what a chip with these heads has left for rows and units."""
    config, block = shape.config, shape.block(chip)
    sizes = LocalSizes(heads, kv_heads, 0, config.head_dim)
    left = usable_heap(heap) - strategy.heap_need(shape, chip, sizes, 0).total
    row, unit = row_bytes(config, block) + _ROW_BUFFERS, unit_bytes(config, block) + _UNIT_BUFFERS
    if not block:
        return _Room(left, row, unit)
    flash = shape.flash_room(chip) - flash_bytes(config, sizes, 0, 1)
    flash -= strategy.rounding_bytes(shape, 1)
    return _Room(left, row, unit, flash, config.dim + 2, unit_bytes(config))


def _fill(group: _Group, heads: ShardingPlan, spare: int, *, apart: bool) -> Distribution:
    """Distributes units and rows to chips that have these heads, as far as there is room with
    `spare` bytes of each heap kept free; apart: gives units only to chips without heads."""
    strategy, shape, first = group.strategy, group.shape, group.first
    config, vocabulary = shape.config, group.vocabulary

    @cache  # of chips that are alike, one is computed
    def find(heap: int, chip: int, heads: int, kv_heads: int) -> _Room:
        return _find_room(strategy, shape, heap, chip, heads, kv_heads)

    rooms = [
        find(heap, chip, *counts).less(spare)
        for heap, chip, counts in zip(
            group.heaps, _stand_ins(group), heads.head_counts, strict=True
        )
    ]
    row, unit = row_bytes(config) + _ROW_BUFFERS, unit_bytes(config) + _UNIT_BUFFERS
    short = sum(room.short for room in rooms)
    rows = level(vocabulary, [min(room.count_rows(), MAX_ROWS) for room in rooms], group.speeds)
    for room, count in zip(rooms, rows, strict=True):
        room.take_rows(count)
    most = strategy.most_units(shape)
    # Chips have whole groups of the down projection's columns.
    each = COLUMNS if "w2" in config.grouped else 1
    most_of_each = [
        0 if apart and own else min(room.count_units(), most) // each
        for room, own in zip(rooms, heads.heads, strict=True)
    ]
    units = [each * n for n in level(config.hidden_dim // each, most_of_each, group.speeds)]
    missing = (vocabulary - sum(rows)) * row + (config.hidden_dim - sum(units)) * unit
    if short or missing:
        return Distribution(short + missing)
    parts = zip(heads.heads, heads.kv_heads, blocks(units), blocks(rows), strict=True)
    return Distribution(0, tuple(Shard(chip, *part) for chip, part in enumerate(parts, first)))
