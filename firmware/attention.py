"""Attention of a chip's heads: q, k, v, rope, the KV cache, softmax(q.k) v, and its columns of the
output projection."""

from firmware.linear import Linear


class Attention:
    """Turns workspace.x into a layer's partial sum; the layers share shapes and buffers."""

    def __init__(self, shard, workspace, kernels):
        layout, places = shard.layout, shard.places
        head_dim, context = layout["head_dim"], layout["context"]
        heads, kv_heads = layout["heads"], layout["kv_heads"]
        dim, q_rows, kv_rows = layout["dim"], len(heads) * head_dim, len(kv_heads) * head_dim
        self._kernels = kernels
        self._head_dim = head_dim
        self._exp_table, self._rope_table = shard.exp_table, shard.rope_table
        self._rope_row, self._rope_position = workspace.rope_row, -1
        self._scores = workspace.scores
        self._rows = rows = workspace.rows[: q_rows + 2 * kv_rows]
        self._q = rows[:q_rows]
        self._k = rows[q_rows : q_rows + kv_rows]
        self._v = rows[q_rows + kv_rows :]
        self._q_at, self._k_at, self._v_at = places[:3]
        self._qkv = Linear(places[5], len(rows), dim, workspace.x, kernels)
        self._o = Linear(places[6], dim, q_rows, workspace.heads, kernels)
        # Rows of the caches [kv_heads * context, head_dim] at which each KV head's begin.
        self._cached = [
            (i * context, self._k[at : at + head_dim], self._v[at : at + head_dim])
            for i, at in enumerate(range(0, kv_rows, head_dim))
        ]
        group = layout["total_heads"] // layout["total_kv_heads"]
        self._heads = [
            (
                kv_heads.index(head // group) * context,
                self._q[at : at + head_dim],
                workspace.heads[at : at + head_dim],
            )
            for head, at in zip(heads, range(0, q_rows, head_dim))
        ]

    def run(self, layer, position, out):
        """The partial sum `out` [dim] at `position`, which joins the cache and attends to all
        positions up to itself."""
        kernels, scores, head_dim = self._kernels, self._scores, self._head_dim
        self._qkv.run(layer.weights, self._rows)
        self._rescale_and_rotate(layer, position)
        keys, values, shift = layer.keys, layer.values, layer.score_shift
        for first, k, v in self._cached:
            kernels.cache_row(k, keys, first + position, head_dim)
            kernels.cache_row(v, values, first + position, head_dim)
        seen = position + 1
        for first, q, mean in self._heads:
            largest = kernels.scores(keys, 0, scores, q, seen, first)
            total = kernels.exponentials(scores, 0, self._exp_table, largest, seen, shift)
            kernels.mean(values, 0, scores, mean, seen, total, first)
        self._o.run(layer.weights, out)

    def _rescale_and_rotate(self, layer, position):
        rescale, rotate, weights = self._kernels.rescale, self._kernels.rotate, layer.weights
        q, k, v, pairs = self._q, self._k, self._v, self._head_dim // 2
        rescale(q, 0, weights, self._q_at, len(q), layer.q_shift, layer.q_limit)
        rescale(k, 0, weights, self._k_at, len(k), layer.k_shift, layer.k_limit)
        rescale(v, 0, weights, self._v_at, len(v), layer.v_shift, layer.v_limit)
        row = self._rope_row
        if position != self._rope_position:
            self._kernels.rope_row(self._rope_table, 0, position, row, pairs)
            self._rope_position = position
        rotate(q, 0, row, pairs, len(self._heads), layer.q_limit)
        rotate(k, 0, row, pairs, len(self._cached), layer.k_limit)
