"""Attention of a chip's heads: q, k, v, rope, the KV cache, softmax(q.k) v, and its columns of the
output projection."""

from firmware.linear import Linear
from firmware.workspace import int32s
from protocol.compat import micropython


class Attention:
    """Turns workspace.x into a layer's partial sum; the layers share shapes and buffers."""

    def __init__(self, shard, workspace, kernels):
        layout, places = shard.layout, shard.places
        self._head_dim = head_dim = layout["head_dim"]
        self._context = context = layout["context"]
        heads, kv_heads = layout["heads"], layout["kv_heads"]
        self._head_count, self._kv_count = len(heads), len(kv_heads)
        self._dim = dim = layout["dim"]
        q_rows, kv_rows = len(heads) * head_dim, len(kv_heads) * head_dim
        self._kernels = kernels
        self._exp_table, self._rope_table = shard.exp_table, shard.rope_table
        self._rope_row, self._rope_position = workspace.rope_row, -1
        self._scores, self._means = workspace.scores, workspace.heads
        self._rows = rows = workspace.rows[: q_rows + 2 * kv_rows]
        self._row_count = len(rows)
        self._kv = rows[q_rows:]
        self._qkv = Linear(places[5], len(rows), dim, workspace.x, kernels).blocks
        self._o = Linear(places[6], dim, q_rows, workspace.heads, kernels).blocks
        # The row of the caches [kv_heads * context, head_dim] at which each head's begin.
        self._first = first = int32s(len(heads))
        group = layout["total_heads"] // layout["total_kv_heads"]
        for i, head in enumerate(heads):
            first[i] = kv_heads.index(head // group) * context

    @micropython.native
    def run(self, layer, position, out):
        """The partial sum `out` [dim] at `position`, which joins the cache and attends to all
        positions up to itself."""
        kernels, rows, scales, row = self._kernels, self._rows, layer.qkv_scales, self._rope_row
        head_dim, pairs = self._head_dim, self._head_dim >> 1
        weights = layer.weights
        for matvec, at, x in self._qkv:
            matvec(weights, 0, rows, x, self._row_count, at)
        if position != self._rope_position:
            kernels.rope_row(self._rope_table, 0, position, row, pairs)
            self._rope_position = position
        kernels.rescale(rows, 0, weights, 0, scales, 3)
        kernels.rotate(rows, 0, row, pairs, scales, 2)
        keys, values = layer.keys, layer.values
        kernels.cache_rows(
            self._kv, keys, values, position, self._kv_count, head_dim, self._context,
            layer.key_zero,
        )  # fmt: skip
        kernels.attend(
            0, 0, keys, values, self._first, self._head_count, rows, self._means, self._scores,
            self._exp_table, position + 1, layer.score_shift,
        )  # fmt: skip
        for matvec, at, x in self._o:
            matvec(weights, 0, out, x, self._dim, at)
