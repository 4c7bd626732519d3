"""Which heads, feed-forward units and vocabulary rows each chip owns."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from host.model.checkpoint import Config, ModelError
from host.model.quantized import QuantizedModel
from host.parallel.memory import HeapNeed, Shape, heap_need, row_bytes, unit_bytes, usable
from protocol.frame import MAX_PAYLOAD
from protocol.layout import REQUEST_SIZE

MAX_CHIPS = 254  # ids 0 to 253 on the wire
# More positions in a request save less and less waiting, cost a chip buffers, and on the radio
# come back in more frames at once than a gateway can take in.
MAX_POSITIONS_UART, MAX_POSITIONS_RADIO = 4, 2
_PARTIAL_HEAD = REQUEST_SIZE + 3  # boot id and width
MAX_ROWS = (MAX_PAYLOAD[2] - REQUEST_SIZE - 5) // 2  # logits that one message carries
# What a unit and a row cost beside their weights: accumulators, and the row's place in an answer.
_UNIT_BUFFERS, _ROW_BUFFERS = 8, 8
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
class Plan:
    """A division of a model among chips."""

    shape: Shape
    shares: tuple[Share, ...]

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

    def heap_need(self, share: Share) -> HeapNeed:
        """What a chip's share takes of its heap."""
        return heap_need(
            self.shape,
            share.chip,
            len(share.heads),
            len(share.kv_heads),
            len(share.units),
            len(share.rows),
        )


def tensor_parallel(
    model: QuantizedModel,
    chips: int,
    context: int | None = None,
    *,
    heap: int | None = None,
    mtu: int | None = None,
    signed: bool = False,
) -> Plan:
    """Every layer divided among all chips.

    Heads are dealt as `dealt_heads` says. Units and rows are dealt evenly: attention and
    feed-forward are separated by a synchronization, so a chip that waits in one cannot make up
    for it in the other, and each phase takes as long as its busiest chip. Only where a chip's
    heap is too small for that do others take more.

    heap: bytes of each chip's heap, None for no bound; mtu: the radio's, None on UART; signed:
    whether frames are. Raises ModelError for a count or context that cannot be, and DoesNotFit
    where the heaps are too small.
    """
    config = model.config
    if not 1 <= chips <= MAX_CHIPS:
        raise ModelError(f"{chips} chips: a federation has 1 to {MAX_CHIPS}")
    context = config.context if context is None else context
    if not 1 <= context <= config.context:
        raise ModelError(
            f"context {context}: the model was made for 1 to {config.context} positions"
        )
    if config.vocab_size > chips * MAX_ROWS:
        raise ModelError(
            f"a vocabulary of {config.vocab_size} tokens takes at least"
            f" {_ceil(config.vocab_size, MAX_ROWS)} chips, each answering with {MAX_ROWS}"
        )
    bits = accumulator_bits(model)
    most = MAX_POSITIONS_UART if mtu is None else MAX_POSITIONS_RADIO
    shape = Shape(config, chips, context, _positions(model, bits, most), bits, mtu, signed)
    if heap is None:
        heap = _UNBOUNDED
    missing, shares = _dealt(shape, heap)
    if missing:
        enough = _enough_chips(shape, heap)
        raise DoesNotFit(_advice(shape, heap, missing, enough), enough)
    return Plan(shape, tuple(shares))


def _dealt(shape: Shape, heap: int) -> tuple[int, list[Share]]:
    """How many bytes of weights find no room, and the shares where all do."""
    config = shape.config
    heads = dealt_heads(config.heads, config.kv_heads, shape.chips)
    kv_heads = [tuple(sorted({h // config.heads_per_kv_head for h in own})) for own in heads]
    room = [
        usable(heap) - heap_need(shape, chip, len(heads[chip]), len(kv_heads[chip]), 0, 0).total
        for chip in range(shape.chips)
    ]
    row, unit = row_bytes(config) + _ROW_BUFFERS, unit_bytes(config) + _UNIT_BUFFERS
    short = sum(-size for size in room if size < 0)
    rows = level(config.vocab_size, [min(size // row, MAX_ROWS) for size in room])
    room = [size - count * row for size, count in zip(room, rows, strict=True)]
    units = level(config.hidden_dim, [size // unit for size in room])
    missing = (config.vocab_size - sum(rows)) * row + (config.hidden_dim - sum(units)) * unit
    if short or missing:
        return short + missing, []
    return 0, [
        Share(chip, heads[chip], kv_heads[chip], units_of, rows_of)
        for chip, (units_of, rows_of) in enumerate(zip(_blocks(units), _blocks(rows), strict=True))
    ]


def _enough_chips(shape: Shape, heap: int) -> int | None:
    """How many chips would do where those of `shape` do not."""
    more = range(shape.chips + 1, MAX_CHIPS + 1)
    return next((n for n in more if not _dealt(replace(shape, chips=n), heap)[0]), None)


def _advice(shape: Shape, heap: int, missing: int, enough: int | None) -> str:
    """What is missing, and how many chips would do."""
    text = (
        f"{shape.chips} chip{'s' if shape.chips > 1 else ''} with {heap // 1024} KB of heap"
        f" {'are' if shape.chips > 1 else 'is'} {_ceil(missing, 1024)} KB short of the model"
        f" with a context of {shape.context}"
    )
    if enough:
        return f"{text}: {enough} chips would do, or a smaller --context"
    return (
        f"{text}, and no number of chips would do: use boards with more heap, or a smaller"
        " --context"
    )


def _positions(model: QuantizedModel, bits: int, most: int) -> int:
    """As many positions as one message carries, there and packed back, and at most `most`."""
    there = (MAX_PAYLOAD[2] - REQUEST_SIZE) // (2 * model.config.dim)
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


def dealt_heads(heads: int, kv_heads: int, chips: int) -> list[tuple[int, ...]]:
    """Global head indices of each chip, dealt round-robin; a chip's TPConfig says the same.

    The card that is dealt is the KV group, so that no KV head is held twice. Where chips outnumber
    KV heads and it leaves the busiest chip fewer heads, single heads are dealt.
    """
    group = heads // kv_heads
    split = chips > kv_heads and _ceil(heads, chips) < _ceil(kv_heads, chips) * group
    card = 1 if split else group
    return [tuple(h for h in range(heads) if h // card % chips == chip) for chip in range(chips)]


def level(total: int, room: Sequence[int]) -> list[int]:
    """`total` dealt as evenly as `room`, of each part, allows, larger parts first; less than total
    where there is not room for all."""
    parts = [0] * len(room)
    left = total
    while left:
        open_parts = [i for i, size in enumerate(room) if parts[i] < size]
        if not open_parts:
            break
        step = max(left // len(open_parts), 1)
        for i in open_parts[:left]:
            taken = min(step, room[i] - parts[i])
            parts[i] += taken
            left -= taken
    return parts


def _blocks(counts: list[int]) -> list[range]:
    """Contiguous ranges of these lengths, one after another from 0."""
    edges = [0, *itertools.accumulate(counts)]
    return [range(low, high) for low, high in itertools.pairwise(edges)]


def _ceil(total: int, parts: int) -> int:
    return -(-total // parts)
