"""The shard file: one chip's share of a quantized model, laid out as the chip holds it.

| part | content |
| --- | --- |
| 8 bytes | b"FEDSHARD" |
| u16, u16, u32 | format version, 0, length of the header |
| header | JSON: shapes, indices, shifts and limits; padded with spaces to a multiple of 4 |
| tables | exponential u16 [512], sigmoid u16 [1024] |
| each layer | u16 row multipliers of q, k, v, gate, up; then weights: q, k, v; o; gate, up; down |
| its norms* | u16 [4, dim]: attention gain, multipliers of o, feed-forward gain, those of down |
| last norm* | u16 [dim]: gain |
| vocabulary | u16 row multipliers, then weights |
| 32 bytes | SHA-256 of all before |

Everything is little-endian. A weight is stored as weight + 128, so that a byte load needs no sign
extension. Matrices named between two semicolons are one, their rows one after another. A matrix is
stored in the blocks of columns that its kernel takes (host/build/kernels.py), row-major in each.
Each layer and the vocabulary are padded to a multiple of 4 bytes.

Parts with a * are there where chips add up the partial sums and keep the residual stream
themselves; a gain is stored as multiplier + 2**15. Then the header also tells the ids of these
chips, as `members`, and [shift, epsilon, limit] of the last norm, as `final`. Elsewhere the host
has all this, and rescales after the sum over chips.

Of a stage of a pipeline the file has its layers only, and `chips` counts its members; the header
also tells the stage's `first_layer` in the model, the ids of the `next` stage's chips, and of how
many sequences it holds keys and values at once, as `slots`.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
from numpy.typing import ArrayLike, NDArray

from host.build.kernels import column_blocks
from host.model import arithmetic
from host.model.arithmetic import Gain
from host.model.quantized import Linear, QuantizedLayer, QuantizedModel
from host.parallel.plan import Plan, Shard
from host.parallel.sharding import head_rows, shard_weight
from protocol.messages import HASH_SIZE

MAGIC = b"FEDSHARD"
VERSION = 2
_GAIN_ZERO = 1 << 15


def shard_file(model: QuantizedModel, plan: Plan, shard: Shard) -> bytes:
    """The file that makes a chip the owner of `share`."""
    header = json.dumps(_header(model, plan, shard), separators=(",", ":")).encode()
    header += b" " * (-len(header) % 4)
    body = MAGIC + VERSION.to_bytes(2, "little") + bytes(2) + len(header).to_bytes(4, "little")
    body += header + _u16(arithmetic.exp_table()) + _u16(arithmetic.sigmoid_table())
    for layer in _layers(model, plan, shard):
        body += _layer_block(layer, shard, model.config.head_dim)
        if plan.strategy.keeps_residual:
            body += _norms(layer)
    if plan.strategy.keeps_residual:
        body += _gain(model.final_gain)
    vocabulary = _rows_of(model.classifier, shard.rows)
    body += _u16(vocabulary.rescale.multiplier)
    body += _weights(vocabulary.weight)
    body += bytes(-len(body) % 4)
    return body + hashlib.sha256(body).digest()


def shard_digest(file: bytes) -> bytes:
    """What a chip's READY says of its shard file: the first bytes of the SHA-256 that ends it."""
    return file[-hashlib.sha256().digest_size :][:HASH_SIZE]


def matrix_columns(model: QuantizedModel, shard: Shard) -> set[int]:
    """Column counts of the matrices in a share: the shapes that its kernels are generated for."""
    local = {len(shard.heads) * model.config.head_dim, len(shard.units)} - {0}
    return local | {model.config.dim}


def _layers(model: QuantizedModel, plan: Plan, shard: Shard) -> list[QuantizedLayer]:
    """Those that a chip has a part in."""
    held = plan.stage_of(shard.chip).layers
    return list(model.layers[held.start : held.stop])


def _header(model: QuantizedModel, plan: Plan, shard: Shard) -> dict[str, object]:
    config, combine = model.config, plan.strategy.keeps_residual
    stage = plan.stage_of(shard.chip)
    header: dict[str, object] = {
        "model": model.sha256()[:HASH_SIZE].hex(),
        "chip": shard.chip,
        "chips": len(stage.chips),
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
        "logits": [model.classifier.rescale.shift, model.logit_exponent],
        "layers": [
            [*_layer_numbers(layer), *(_norm_numbers(layer) if combine else [])]
            for layer in _layers(model, plan, shard)
        ],
    }
    if combine:
        header["members"] = list(stage.chips)
        header["final"] = _gain_numbers(model.final_gain, model.final_limit)
    if plan.strategy.role == "pipeline":
        after = plan.stages[plan.stages.index(stage) + 1 :][:1]
        header["first_layer"] = stage.layers.start
        header["next"] = [chip for each in after for chip in each.chips]
        header["slots"] = plan.slots
    return header


def _layer_numbers(layer: QuantizedLayer) -> list[int]:
    """In the order of firmware/weights.py."""
    return [
        layer.q.rescale.shift, layer.q_limit, layer.k.rescale.shift, layer.k_limit,
        layer.v.rescale.shift, layer.v_limit, layer.score_shift,
        layer.gate.rescale.shift, layer.up.rescale.shift, layer.index_shift, layer.product_shift,
        layer.hidden_limit,
    ]  # fmt: skip


def _norm_numbers(layer: QuantizedLayer) -> list[object]:
    """In the order of firmware/weights.py, after _layer_numbers."""
    return [
        _gain_numbers(layer.attention_gain, layer.attention_limit),
        layer.o.rescale.shift,
        _gain_numbers(layer.feed_forward_gain, layer.feed_forward_limit),
        layer.down.rescale.shift,
    ]


def _gain_numbers(gain: Gain, limit: int) -> list[int]:
    return [gain.shift, gain.epsilon, limit]


def _layer_block(layer: QuantizedLayer, shard: Shard, head_dim: int) -> bytes:
    q_rows = head_rows(shard.heads, head_dim)
    kv_rows = head_rows(shard.kv_heads, head_dim)
    qkv = [_rows_of(layer.q, q_rows), _rows_of(layer.k, kv_rows), _rows_of(layer.v, kv_rows)]
    gate_up = [_rows_of(layer.gate, shard.units), _rows_of(layer.up, shard.units)]
    block = b"".join(_u16(linear.rescale.multiplier) for linear in qkv + gate_up)
    block += _weights(np.concatenate([linear.weight for linear in qkv]))
    block += _weights(_columns_of(layer.o, q_rows).weight)
    block += _weights(np.concatenate([linear.weight for linear in gate_up]))
    block += _weights(_columns_of(layer.down, shard.units).weight)
    return block + bytes(-len(block) % 4)


def _norms(layer: QuantizedLayer) -> bytes:
    return (
        _gain(layer.attention_gain)
        + _u16(layer.o.rescale.multiplier)
        + _gain(layer.feed_forward_gain)
        + _u16(layer.down.rescale.multiplier)
    )


def _gain(gain: Gain) -> bytes:
    return _u16(gain.multiplier + _GAIN_ZERO)


def _rows_of(linear: Linear, rows: ArrayLike) -> Linear:
    """A column-parallel shard: these output features of a matrix."""
    return shard_weight(linear, 0, indices=rows).weight


def _columns_of(linear: Linear, columns: ArrayLike) -> Linear:
    """A row-parallel shard: these input features of a matrix."""
    return shard_weight(linear, 1, indices=columns).weight


def _weights(weight: NDArray[np.int8]) -> bytes:
    if not weight.size:
        return b""
    stored = (weight.astype(np.int16) + 128).astype(np.uint8)
    return b"".join(
        stored[:, first : first + count].tobytes()
        for first, count in column_blocks(stored.shape[1])
    )


def _u16(values: NDArray[np.int64]) -> bytes:
    return values.astype("<u2").tobytes()
