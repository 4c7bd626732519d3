"""Computes in numpy what each chip of a plan does: a quantized model made of parallel layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from host.model import arithmetic
from host.model.arithmetic import INT16_LIMIT, Gain, Ints
from host.model.quantized import Linear, QuantizedLayer, QuantizedModel
from host.parallel.layers import ColumnParallelLinear, RowParallelLinear
from host.parallel.plan import Plan, Shard
from host.parallel.sharding import head_rows

Column = ColumnParallelLinear[Linear]
Row = RowParallelLinear[Linear]


class ShardedLayer(NamedTuple):
    """A block's matrices, divided among chips, without gathering of column-parallel outputs."""

    q: Column
    k: Column
    v: Column
    o: Row
    gate: Column
    up: Column
    down: Row


class ShardedModel:
    """All chips' shards of a model, and their answers; each chip has its own KV cache.

    Chips are in the order of `plan.shards`; one that takes no part in a phase gives zeros, or no
    rows.
    """

    def __init__(
        self, model: QuantizedModel, plan: Plan, layers: list[ShardedLayer], classifier: Column
    ) -> None:
        self.model, self.plan = model, plan
        self.layers, self.classifier = layers, classifier
        self._rope = arithmetic.rope_table(model.rope_steps, plan.context)
        size, count = model.config.head_dim, len(layers)
        # Keys and values [2, layers, KV heads of the chip, context, head_dim].
        self._caches = [
            np.zeros((2, count, len(shard.kv_heads), plan.context, size), np.int64)
            for shard in plan.shards
        ]

    @classmethod
    def of(cls, model: QuantizedModel, plan: Plan) -> ShardedModel:
        """Returns the model divided as `plan` says."""
        layers = [
            _sharded(layer, plan, plan.group(index), model.config.head_dim)
            for index, layer in enumerate(model.layers)
        ]
        classifier = _column(model.classifier, [shard.rows for shard in plan.shards])
        return cls(model, plan, layers, classifier)

    def attention(self, index: int, x: Ints, position: int) -> list[Ints]:
        """Returns each chip's partial sum [n, dim] of attention for x [n, dim], at n positions
        from `position` on.

        Keys and values are cached; all positions before must have been given.
        """
        return self.layers[index].o.partial_sums(self.heads(index, x, position))

    def heads(self, index: int, x: Ints, position: int) -> list[Ints]:
        """Returns each chip's means [n, its heads * head_dim] of its heads; x: as for
        attention."""
        layer = self.layers[index]
        qkv = zip(layer.q.parts(x), layer.k.parts(x), layer.v.parts(x), strict=True)
        return [
            np.concatenate(
                [
                    self._attended(index, chip, [part[i] for part in parts], position + i)
                    for i in range(len(x))
                ]
            )
            for chip, parts in enumerate(qkv)
        ]

    def feed_forward(self, index: int, x: Ints) -> list[Ints]:
        """Returns each chip's partial sum [n, dim] of a feed-forward layer for x [n, dim]."""
        return self.layers[index].down.partial_sums(self.units(index, x))

    def units(self, index: int, x: Ints) -> list[Ints]:
        """Returns each chip's activations [n, its units] of feed-forward units for x [n, dim]."""
        layer, numbers = self.layers[index], self.model.layers[index]
        return [
            arithmetic.swiglu(
                arithmetic.saturate(gate, INT16_LIMIT), arithmetic.saturate(up, INT16_LIMIT),
                numbers.index_shift, numbers.product_shift, arithmetic.sigmoid_table(),
                numbers.hidden_limit,
            )
            for gate, up in zip(layer.gate.parts(x), layer.up.parts(x), strict=True)
        ]  # fmt: skip

    def logits(self, x: Ints) -> list[Ints]:
        """Returns each chip's logits [n, its rows] for x [n, dim]."""
        return [arithmetic.saturate(part, INT16_LIMIT) for part in self.classifier.parts(x)]

    def _attended(self, index: int, chip: int, qkv: list[Ints], position: int) -> Ints:
        """Returns the means [1, heads * head_dim] of a chip's heads for one row of its q, k, v."""
        numbers, shard, cache = (
            self.model.layers[index],
            self.plan.shards[chip],
            self._caches[chip],
        )
        if chip not in self.plan.group(index):
            return np.zeros((1, 0), np.int64)
        turn = arithmetic.rope_row(self._rope, position)
        q, k, v = (part.reshape(-1, self.model.config.head_dim) for part in qkv)
        q = _limited(q, numbers.q_norm, numbers.q_limit)
        k = _limited(k, numbers.k_norm, numbers.k_limit)
        k = arithmetic.rotate(k, *turn, numbers.k_limit)
        v = arithmetic.saturate(v, numbers.v_limit)
        if self.model.config.int8_kv:
            k, v = arithmetic.narrow_rows(k), arithmetic.narrow_rows(v)
        cache[:, index, :, position] = k, v
        keys, values = cache[:, index, self._kv_places(shard), : position + 1]
        scores = (keys @ arithmetic.rotate(q, *turn, numbers.q_limit)[..., None])[..., 0]
        weights = arithmetic.attention_weights(scores, numbers.score_shift, arithmetic.exp_table())
        return arithmetic.weighted_mean(weights, values).reshape(1, -1)

    def _kv_places(self, shard: Shard) -> list[int]:
        """Returns for each of a chip's heads the index of its KV head in the chip's cache."""
        group = self.model.config.heads_per_kv_head
        return [shard.kv_heads.index(head // group) for head in shard.heads]


def _limited(rows: Ints, gain: Gain | None, limit: int) -> Ints:
    """Returns queries or keys [heads, head_dim], normalized if gain is not None, within limit."""
    if gain is None:
        return arithmetic.saturate(rows, limit)
    return arithmetic.rms_normalize(arithmetic.saturate(rows, INT16_LIMIT), gain, limit)


def _sharded(layer: QuantizedLayer, plan: Plan, group: range, size: int) -> ShardedLayer:
    """Returns a layer's matrices, divided among the chips of a group; other chips have none."""
    owned = [shard if shard.chip in group else None for shard in plan.shards]
    q = [head_rows(shard.heads if shard else (), size) for shard in owned]
    kv = [head_rows(shard.kv_heads if shard else (), size) for shard in owned]
    units = [shard.units if shard else range(0) for shard in owned]
    return ShardedLayer(
        q=_column(layer.q, q),
        k=_column(layer.k, kv),
        v=_column(layer.v, kv),
        o=Row.split(layer.o, q),
        gate=_column(layer.gate, units),
        up=_column(layer.up, units),
        down=Row.split(layer.down, units),
    )


def _column(linear: Linear, owned: Sequence[ArrayLike]) -> Column:
    return Column.split(linear, owned, gather_output=False)
