"""Attention of a chip's heads: q, k, v, rope, the KV cache, softmax(q k) v, and the chip's columns
of the output projection."""

from firmware.compute.linear import Linear
from protocol.compat import micropython
from protocol.fields import int32s
from protocol.shard_layout import MATRIX_COLUMNS, O_WEIGHTS, QKV_WEIGHTS


class Attention:
    """Computes a layer's partial sum from workspace.x; all layers share shapes and buffers.

    Where chips exchange by all-gather it ends with the heads' means, in workspace.heads.
    """

    def __init__(self, weights, workspace, kernels):
        layout, places = weights.layout, weights.places
        head_dim, context, dim = layout["head_dim"], layout["context"], layout["dim"]
        heads, kv_heads = layout["heads"], layout["kv_heads"]
        q_rows, kv_rows = len(heads) * head_dim, len(kv_heads) * head_dim
        rows = workspace.rows[: q_rows + 2 * kv_rows]
        # The row of the caches [kv_heads * context, head_dim] at which each head's begin; and how
        # many these are, for int8 caches have shifts behind them.
        first = int32s(len(heads) + 1)
        first[-1] = len(kv_heads) * context
        group = layout["total_heads"] // layout["total_kv_heads"]
        for i, head in enumerate(heads):
            first[i] = kv_heads.index(head // group) * context
        columns = places[QKV_WEIGHTS + MATRIX_COLUMNS]
        self._qkv = Linear(places[QKV_WEIGHTS], len(rows), columns, workspace.x, kernels).blocks
        self._o = ()
        if "gather" not in layout:
            columns = places[O_WEIGHTS + MATRIX_COLUMNS]
            self._o = Linear(places[O_WEIGHTS], dim, columns, workspace.heads, kernels).blocks
        self._rope_position = -1
        # Tuples, because to unpack one takes no longer than to look up one attribute. `run` names
        # what they hold; programs of native kernels (program.py, passes.py) read them too.
        self._kernels = (
            kernels.rope_row, kernels.rescale, kernels.rotate, kernels.cache_rows, kernels.attend,
        )  # fmt: skip
        self._sizes = dim, head_dim, head_dim // 2, len(rows), len(heads), len(kv_heads), context
        self._buffers = rows, rows[q_rows:], workspace.rope_row, workspace.scores, workspace.heads
        self._tables = weights.exp_table, weights.rope_table, first

    @micropython.native
    def run(self, layer, position, out):
        """Adds `position` to the layer's KV cache, and attends to all positions up to it.

        out: int32 [dim], gets the partial sum.
        """
        weights, scales = layer.weights, layer.qkv_scales
        turn, rescale, rotate, cache_rows, attend = self._kernels
        dim, head_dim, pairs, row_count, heads, kv_heads, context = self._sizes
        rows, kv, rope_row, scores, means = self._buffers
        exp_table, rope_table, first = self._tables
        for matvec, at, x in self._qkv:
            matvec(weights, 0, rows, x, row_count, at)
        if position != self._rope_position:
            turn(rope_table, 0, position, rope_row, pairs)
            self._rope_position = position
        rescale(rows, 0, weights, 0, scales, 3)
        rotate(rows, 0, rope_row, pairs, scales, 2)
        keys, values = layer.keys, layer.values
        cache_rows(kv, keys, values, position, kv_heads, head_dim, context, layer.key_zero)
        attend(
            0, 0, keys, values, first, heads, rows, means, scores, exp_table, position + 1,
            layer.score_shift,
        )  # fmt: skip
        for matvec, at, x in self._o:
            matvec(weights, 0, out, x, dim, at)
