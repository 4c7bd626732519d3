"""Writes the shard file: one chip's part of a quantized model (protocol/shard_layout.py)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from host.build.coarser_kernel import gets_coarser
from host.build.group_kernels import stored_groups
from host.build.kernels import column_blocks
from host.model import arithmetic
from host.model.arithmetic import Gain
from host.model.quantized import Linear, Matrix, QuantizedLayer, QuantizedModel
from host.model.sampling import count_candidates
from host.parallel.plan import Plan, Shard
from host.parallel.sharding import head_rows, shard_weight
from host.parallel.strategies.all_gather import describe_gather, list_head_columns
from protocol import shard_layout as layout
from protocol.flash_layout import PLACE_SIZE, rows_in_block
from protocol.messages import HASH_SIZE
from protocol.shard_layout import (
    BIAS_FACTOR,
    GAIN_ZERO,
    GROUPS_VERSION,
    HEADER,
    MAGIC,
    PAIRS,
    VECTORS,
    VERSION,
    WEIGHT_ZERO,
)

# Of each part of a layer that is a matrix, those of which it consists.
_PARTS = {
    layout.QKV_WEIGHTS: {"wq", "wk", "wv"},
    layout.O_WEIGHTS: {"wo"},
    layout.GATE_UP_WEIGHTS: {"w1", "w3"},
    layout.DOWN_WEIGHTS: {"w2"},
}


def shard_file(model: QuantizedModel, plan: Plan, shard: Shard, padding: int = 1) -> bytes:
    """Returns the shard file of a chip, with matrices in the layout of its kernels: see
    protocol/shard_layout.py."""
    block = plan.block(shard.chip)
    numbers = {"columns": padding, **_header(model, plan, shard)}
    optional = "cache", "candidates", "gather", "weights"
    ordered = {name: numbers[name] for name in (*HEADER, *optional) if name in numbers}
    ordered |= {"block": block} if block else {}
    header = json.dumps(ordered, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 4)
    body = _Body(padding, block, "weights" in numbers)
    layers = held_layers(model, plan, shard)
    is_newer = "weights" in numbers or gets_coarser(layers)
    version = GROUPS_VERSION if is_newer else VERSION
    body.add(MAGIC, version.to_bytes(2, "little"), bytes(2), len(header).to_bytes(4, "little"))
    body.add(header, _u16(arithmetic.exp_table()), _u16(arithmetic.sigmoid_table()))
    columns = list_head_columns(plan) if shard.elements else None
    for layer in layers:
        body.add_matrices(*_layer_parts(layer, shard, model.config.head_dim, columns))
        if plan.strategy.keeps_residual:
            body.add(_norms(layer))
    if plan.strategy.keeps_residual:
        body.add(_gain(model.final_gain))
    rows = _rows_of(model.classifier, shard.rows)
    body.add_matrices(_u16(rows.rescale.multiplier), [rows.weight])
    content = body.join()
    return content + hashlib.sha256(content).digest()


class _Body:
    """The content of a shard file before its SHA-256. block: the header's, 0 if each layer's
    matrices follow its multipliers; else all matrices come last (protocol/flash_layout.py)."""

    def __init__(self, padding: int, block: int, has_groups: bool) -> None:
        self._padding, self._block = padding, block
        # Of multipliers, and of matrices behind them.
        self._alignment = VECTORS if has_groups else padding
        self._parts: list[bytes] = []
        self._matrices: list[bytes] = []
        # Which of the parts say where matrices are, and from which of these on.
        self._places: list[tuple[int, int]] = []

    def add(self, *parts: bytes) -> None:
        """Appends content."""
        self._parts += parts

    def add_matrices(self, multipliers: bytes, weights: Iterable[Matrix]) -> None:
        """Appends the multipliers and matrices of a layer, or of the vocabulary."""
        head = _aligned(multipliers, self._alignment)
        stored = [stored_matrix(weight, self._padding, self._block) for weight in weights]
        if not self._block:
            stored = [_aligned(matrix, self._alignment) for matrix in stored]
            self.add(_aligned(b"".join([head, *stored]), 4))
            return
        self.add(head)
        self._places.append((len(self._parts), sum(map(len, self._matrices)) - len(head)))
        self.add(bytes(PLACE_SIZE))
        self._matrices += stored

    def join(self) -> bytes:
        """Returns the whole content."""
        if self._block:
            first = sum(map(len, self._parts))
            first += -first % VECTORS
            for part, place in self._places:
                self._parts[part] = (first + place).to_bytes(PLACE_SIZE, "little")
            self.add(bytes(first - sum(map(len, self._parts))))
        return b"".join(self._parts + self._matrices)


def shard_digest(file: bytes) -> bytes:
    """Returns what a READY reports of the shard file: the first bytes of its SHA-256."""
    return file[-hashlib.sha256().digest_size :][:HASH_SIZE]


def matrix_columns(model: QuantizedModel, shard: Shard) -> set[int]:
    """Returns the column counts of the matrices in a shard, for which kernels are generated;
    negative ones of those in groups."""
    config, grouped = model.config, model.config.grouped
    heads, units = len(shard.heads) * config.head_dim, len(shard.units)
    if shard.elements:
        heads, units = config.heads * config.head_dim, config.hidden_dim
    of_matrices = {"wq": config.dim, "w1": config.dim, "wo": heads, "w2": units}
    found = {-count if name in grouped else count for name, count in of_matrices.items()}
    return found - {0} | {config.dim}


def held_layers(model: QuantizedModel, plan: Plan, shard: Shard) -> list[QuantizedLayer]:
    """Returns the layers in which a chip takes part."""
    held = plan.stage_of(shard.chip).layers
    return list(model.layers[held.start : held.stop])


def _header(model: QuantizedModel, plan: Plan, shard: Shard) -> dict[str, object]:
    config, stage = model.config, plan.stage_of(shard.chip)
    after = plan.stages[plan.stages.index(stage) + 1 :][:1]
    values: dict[str, object] = {
        "model": model.sha256()[:HASH_SIZE].hex(),
        "chip": shard.chip,
        "members": list(stage.chips),
        "first_layer": stage.layers.start,
        "next": [chip for following in after for chip in following.chips],
        "slots": plan.slots,
        "has_norms": plan.strategy.keeps_residual,
        "dim": config.dim,
        "head_dim": config.head_dim,
        "total_heads": config.heads,
        "total_kv_heads": config.kv_heads,
        "heads": shard.heads,
        "kv_heads": shard.kv_heads,
        "units": len(shard.units),
        "rows": len(shard.rows),
        "first_row": shard.rows.start,
        "context": plan.context,
        "positions": plan.positions,
        "bits": plan.shape.bits,
        "rope": model.rope_steps.tolist(),
        "logit_shift": model.classifier.rescale.shift,
        "logit_exponent": model.logit_exponent,
        "final_norm": _norm(model.final_gain, model.final_limit),
        "layers": [_layer_numbers(layer) for layer in held_layers(model, plan, shard)],
    }
    if config.int8_kv:
        values["cache"] = 8
    if shard.elements:
        values["gather"] = describe_gather(plan)
    if config.groups:
        values["weights"] = [part for part, names in _PARTS.items() if names <= config.grouped]
    if candidates := count_candidates(config.vocab_size):
        values["candidates"] = candidates
    return values


def _layer_numbers(layer: QuantizedLayer) -> list[object]:
    numbers: list[object] = [None] * layout.LAYER_NUMBERS
    numbers[layout.Q_SHIFT] = layer.q.rescale.shift
    numbers[layout.Q_LIMIT] = layer.q_limit
    numbers[layout.K_SHIFT] = layer.k.rescale.shift
    numbers[layout.K_LIMIT] = layer.k_limit
    numbers[layout.V_SHIFT] = layer.v.rescale.shift
    numbers[layout.V_LIMIT] = layer.v_limit
    numbers[layout.SCORE_SHIFT] = layer.score_shift
    numbers[layout.GATE_SHIFT] = layer.gate.rescale.shift
    numbers[layout.UP_SHIFT] = layer.up.rescale.shift
    numbers[layout.INDEX_SHIFT] = layer.index_shift
    numbers[layout.PRODUCT_SHIFT] = layer.product_shift
    numbers[layout.HIDDEN_LIMIT] = layer.hidden_limit
    numbers[layout.ATTENTION_NORM] = _norm(layer.attention_gain, layer.attention_limit)
    numbers[layout.O_SHIFT] = layer.o.rescale.shift + layout.DROP * (layer.o_drop or 0)
    numbers[layout.FEED_FORWARD_NORM] = _norm(layer.feed_forward_gain, layer.feed_forward_limit)
    numbers[layout.DOWN_SHIFT] = layer.down.rescale.shift + layout.DROP * (layer.down_drop or 0)
    for gain, limit in ((layer.q_norm, layer.q_limit), (layer.k_norm, layer.k_limit)):
        if gain:
            numbers += [*_norm(gain, limit), *map(int, gain.multiplier)]
    return numbers


def _norm(gain: Gain, limit: int) -> list[int]:
    numbers = [0] * layout.NORM_NUMBERS
    numbers[layout.NORM_SHIFT] = gain.shift
    numbers[layout.NORM_EPSILON] = gain.epsilon
    numbers[layout.NORM_LIMIT] = limit
    return numbers


def _layer_parts(
    layer: QuantizedLayer, shard: Shard, head_dim: int, columns: Sequence[int] | None
) -> tuple[bytes, Iterator[Matrix]]:
    """Returns a layer's multipliers, and its matrices in order, each made when it is taken.

    columns: those of the output projection, if the chip has rows of it; None if it has columns.
    """
    q_rows = head_rows(shard.heads, head_dim)
    kv_rows = head_rows(shard.kv_heads, head_dim)
    qkv = [_rows_of(layer.q, q_rows), _rows_of(layer.k, kv_rows), _rows_of(layer.v, kv_rows)]
    gate_up = [_rows_of(layer.gate, shard.units), _rows_of(layer.up, shard.units)]

    def weights() -> Iterator[Matrix]:
        yield np.concatenate([linear.weight for linear in qkv])
        if columns:
            yield _columns_of(_rows_of(layer.o, shard.elements), columns).weight
        else:
            yield _columns_of(layer.o, q_rows).weight
        yield np.concatenate([linear.weight for linear in gate_up])
        if columns:
            yield _rows_of(layer.down, shard.elements).weight
        else:
            yield _columns_of(layer.down, shard.units).weight

    return b"".join(_u16(linear.rescale.multiplier) for linear in qkv + gate_up), weights()


def _norms(layer: QuantizedLayer) -> bytes:
    return (
        _gain(layer.attention_gain)
        + _u16(layer.o.rescale.multiplier)
        + _gain(layer.feed_forward_gain)
        + _u16(layer.down.rescale.multiplier)
    )


def _gain(gain: Gain) -> bytes:
    return _u16(gain.multiplier + GAIN_ZERO)


def _rows_of(linear: Linear, rows: ArrayLike) -> Linear:
    """Returns a column-parallel shard: these output features of a matrix."""
    return shard_weight(linear, 0, indices=rows).weight


def _columns_of(linear: Linear, columns: ArrayLike) -> Linear:
    """Returns a row-parallel shard: these input features of a matrix."""
    return shard_weight(linear, 1, indices=columns).weight


def stored_matrix(weight: Matrix, padding: int, block: int = 0) -> bytes:
    """Returns a matrix in the layout of protocol/shard_layout.py; block: the header's."""
    if not weight.size:
        return b""
    in_groups = weight.dtype == np.int16
    if block and (padding == VECTORS or in_groups):
        columns = -weight.shape[1] if in_groups else weight.shape[1]
        rows = rows_in_block(columns, padding, block)
        firsts = range(0, len(weight), rows)
        return b"".join(stored_matrix(weight[row : row + rows], padding) for row in firsts)
    if in_groups:
        return stored_groups(weight.astype(np.int16, copy=False))
    return _aligned(_stored_whole(weight, padding), 4 if block else 1)


def _stored_whole(weight: Matrix, padding: int) -> bytes:
    stored = (weight.astype(np.int16) + WEIGHT_ZERO).astype(np.uint8)
    columns = stored.shape[1]
    if padding == 1:
        return b"".join(
            stored[:, first : first + count].tobytes() for first, count in column_blocks(columns)
        )
    stored = np.pad(stored, ((0, 0), (0, -columns % padding)), constant_values=WEIGHT_ZERO)
    if padding == PAIRS:
        pairs = len(stored) // 2
        lower, upper = stored[: 2 * pairs : 2], stored[1::2] ^ WEIGHT_ZERO
        paired = np.stack([lower, upper], -1)
        return paired.tobytes() + stored[2 * pairs :].tobytes()
    biases = weight.sum(1, dtype=np.int64) * BIAS_FACTOR
    return _aligned(stored.tobytes() + biases.astype("<i8").astype("<i4").tobytes(), padding)


def _aligned(content: bytes, size: int) -> bytes:
    """Returns the content padded with zeros to a multiple of `size` bytes."""
    return content + bytes(-len(content) % size)


def _u16(values: NDArray[np.int64]) -> bytes:
    return values.astype("<u2").tobytes()
