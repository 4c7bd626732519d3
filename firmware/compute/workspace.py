"""The buffers in which a chip computes, made once."""

from protocol.fields import int32s


class Workspace:
    """x [dim]: the activation that came in. rows: accumulators of whichever matrix runs.
    heads: activations between attention and its output projection. scores [context]: one
    head's attention. rope_row [head_dim]: cosines and sines of a position. results
    [positions * dim]: the partial sums of one request, of which out[i] [dim] is the i-th
    position's; where chips exchange by all-gather, what this chip contributes."""

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
    """What the buffers take."""
    return 4 * sum(_lengths(layout))
