"""The buffers in which a chip computes; they are made once, at start."""

from protocol.fields import int32s


class Workspace:
    """The buffers, all of int32.

    x [dim]: the activations of the position that is computed; rows: accumulators of the current
    matrix; heads: activations between attention and its output projection; scores [context]: the
    attention scores of one head; rope_row [head_dim]: cosines and sines of a position; results
    [positions * dim]: the partial sums of a request or, where chips exchange by all-gather, this
    chip's contribution; out[i] [dim]: the i-th position's part of results.
    """

    def __init__(self, layout):
        buffers = map(int32s, _lengths(layout))
        self.scores, self.x, self.rows, self.heads, self.rope_row, self.results = buffers
        dim = layout["dim"]
        self.out = [self.results[at : at + dim] for at in range(0, len(self.results), dim)]


def _lengths(layout):
    head_dim, dim, rows = layout["head_dim"], layout["dim"], layout["rows"]
    q_rows, kv_rows = len(layout["heads"]) * head_dim, len(layout["kv_heads"]) * head_dim
    return (
        layout["context"] if q_rows else 0,
        dim,
        max(q_rows + 2 * kv_rows, 2 * layout["units"], rows),
        q_rows,
        head_dim,
        layout["positions"] * (layout["gather"][3] if "gather" in layout else dim),
    )


def workspace_bytes(layout):
    """Returns the bytes that the buffers take."""
    return 4 * sum(_lengths(layout))
