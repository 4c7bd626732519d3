"""Which heads, feed-forward units and vocabulary rows each chip owns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from host.model.checkpoint import Config, ModelError
from host.model.quantized import QuantizedModel
from protocol.frame import MAX_PAYLOAD
from protocol.layout import REQUEST_SIZE

MAX_CHIPS = 254  # ids 0 to 253 on the wire
# More positions in a request save less and less waiting, cost a chip buffers, and on the radio come
# back in more frames at once than a gateway takes in.
MAX_POSITIONS = 2
PARTIAL_HEAD = REQUEST_SIZE + 3  # boot id and width


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
    """A division of a model among chips, for caches of `context` positions.

    positions: how many positions of a prompt go into one request at most.
    """

    config: Config
    context: int
    positions: int
    shares: tuple[Share, ...]

    @property
    def chips(self) -> int:
        """How many chips there are."""
        return len(self.shares)


def tensor_parallel(model: QuantizedModel, chips: int, context: int | None = None) -> Plan:
    """Every layer divided among all chips. Raises ModelError for a count or context that cannot be.

    Heads are dealt as `dealt_heads` says. Units and rows are dealt in even blocks: attention and
    feed-forward are separated by a synchronization, so a chip that waits in one cannot make up
    for it in the other, and each phase takes as long as its busiest chip.
    """
    config = model.config
    if not 1 <= chips <= MAX_CHIPS:
        raise ModelError(f"{chips} chips: a federation has 1 to {MAX_CHIPS}")
    context = config.context if context is None else context
    if not 1 <= context <= config.context:
        raise ModelError(f"context {context}: the model was made for 1 to {config.context} positions")
    heads = dealt_heads(config.heads, config.kv_heads, chips)
    units = even_blocks(config.hidden_dim, chips)
    rows = even_blocks(config.vocab_size, chips)
    shares = []
    for chip, owned in enumerate(heads):
        kv_heads = tuple(sorted({head // config.heads_per_kv_head for head in owned}))
        shares.append(Share(chip, owned, kv_heads, units[chip], rows[chip]))
    return Plan(config, context, _positions(model), tuple(shares))


def _positions(model: QuantizedModel) -> int:
    """As many positions as one message carries, to the chips and packed back, at most MAX_POSITIONS."""
    bits = accumulator_bits(model)
    there = (MAX_PAYLOAD[2] - REQUEST_SIZE) // (2 * model.config.dim)
    back = (MAX_PAYLOAD[2] - PARTIAL_HEAD) * 8 // (model.config.dim * bits)
    if not min(there, back):
        raise ModelError(
            f"dim {model.config.dim}: {bits}-bit partial sums of one position do not fit a message"
            f" of {MAX_PAYLOAD[2]} bytes"
        )
    return min(there, back, MAX_POSITIONS)


def accumulator_bits(model: QuantizedModel) -> int:
    """Bits of the widest partial sum that any chip can send: of a row's L1 norm times the largest input."""
    largest = 0
    for layer in model.layers:
        for linear, limit in ((layer.o, layer.v_limit), (layer.down, layer.hidden_limit)):
            norm = int(np.abs(linear.weight.astype(np.int64)).sum(axis=1).max())
            largest = max(largest, norm * limit)
    return largest.bit_length() + 1


def dealt_heads(heads: int, kv_heads: int, chips: int) -> list[tuple[int, ...]]:
    """Global head indices of each chip, dealt round-robin; TPConfig.distribute_heads is its peer on a chip.

    The card that is dealt is the KV group, so that no KV head is held twice. Where chips outnumber
    KV heads and it leaves the busiest chip fewer heads, single heads are dealt.
    """
    group = heads // kv_heads
    split = chips > kv_heads and _ceil(heads, chips) < _ceil(kv_heads, chips) * group
    card = 1 if split else group
    return [tuple(h for h in range(heads) if h // card % chips == chip) for chip in range(chips)]


def even_blocks(total: int, parts: int) -> list[range]:
    """0..total-1 in contiguous blocks whose lengths differ by at most one, longer ones first."""
    edges = [total // parts * i + min(i, total % parts) for i in range(parts + 1)]
    return [range(low, high) for low, high in zip(edges, edges[1:], strict=False)]


def _ceil(total: int, parts: int) -> int:
    return -(-total // parts)
