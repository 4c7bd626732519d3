"""Attention of a chip's heads: q, k, v, rope, the KV cache, softmax(q.k) v, and its columns of the
output projection."""

from firmware.linear import Linear


class Attention:
    """One layer. `run(position, out)` turns workspace.x into the partial sum `out` [dim]."""

    def __init__(self, shard, layer, workspace, kernels):
        layout, numbers = shard.layout, layer.numbers
        self._kernels = kernels
        self._layer = layer
        self._head_dim = head_dim = layout["head_dim"]
        self._exp_table = shard.exp_table
        self._rope_table = shard.rope_table
        self._scores = workspace.scores
        heads, kv_heads = layout["heads"], layout["kv_heads"]
        dim, q_rows, kv_rows = layout["dim"], len(heads) * head_dim, len(kv_heads) * head_dim
        self._rows = rows = workspace.rows[: q_rows + 2 * kv_rows]
        self._qkv = Linear(layer.qkv, len(rows), dim, workspace.x, kernels)
        self._o = Linear(layer.o, dim, q_rows, workspace.heads, kernels)
        self._q, self._k, self._v = (
            rows[:q_rows],
            rows[q_rows : q_rows + kv_rows],
            rows[q_rows + kv_rows :],
        )
        self._q_shift, self._q_limit = numbers["q"]
        self._k_shift, self._k_limit = numbers["k"]
        self._v_shift, self._v_limit = numbers["v"]
        self._score_shift = numbers["score"]
        group = layout["total_heads"] // layout["total_kv_heads"]
        self._cached = [
            (layer.keys[i], self._k[at : at + head_dim], layer.values[i], self._v[at : at + head_dim])
            for i, at in enumerate(range(0, kv_rows, head_dim))
        ]
        self._heads = [
            (
                self._q[at : at + head_dim],
                layer.keys[kv_heads.index(head // group)],
                layer.values[kv_heads.index(head // group)],
                workspace.heads[at : at + head_dim],
            )
            for head, at in zip(heads, range(0, q_rows, head_dim))
        ]

    def run(self, position, out):
        """Appends k and v to the cache at `position` and attends to 0..position."""
        kernels, scores, head_dim = self._kernels, self._scores, self._head_dim
        self._qkv.run(self._rows)
        self._rescale_and_rotate(position)
        for keys, k, values, v in self._cached:
            kernels.cache_row(k, keys, position, head_dim)
            kernels.cache_row(v, values, position, head_dim)
        seen = position + 1
        for q, keys, values, mean in self._heads:
            largest = kernels.scores(keys, 0, scores, q, seen)
            total = kernels.exponentials(
                scores, 0, self._exp_table, largest, seen, self._score_shift
            )
            kernels.mean(values, 0, scores, mean, seen, total)
        self._o.run(out)

    def _rescale_and_rotate(self, position):
        rescale, rotate, layer = self._kernels.rescale, self._kernels.rotate, self._layer
        q, k, v, pairs = self._q, self._k, self._v, self._head_dim // 2
        rescale(q, 0, layer.q_multipliers, q, len(q), self._q_shift, self._q_limit)
        rescale(k, 0, layer.k_multipliers, k, len(k), self._k_shift, self._k_limit)
        rescale(v, 0, layer.v_multipliers, v, len(v), self._v_shift, self._v_limit)
        rotate(q, 0, self._rope_table, position, pairs, len(self._heads), self._q_limit)
        rotate(k, 0, self._rope_table, position, pairs, len(self._cached), self._k_limit)
