"""The buffers in which a chip computes, made once."""

from protocol.fields import int32s


class Workspace:
    """x [dim]: the activation that came in. rows: accumulators of whichever matrix runs.
    heads: activations between attention and its output projection. scores [context]: one
    head's attention. rope_row [head_dim]: cosines and sines of a position. results
    [positions * dim]: the partial sums of one request, of which out[i] [dim] is the i-th
    position's."""

    def __init__(self, layout):
        head_dim, units = layout["head_dim"], layout["units"]
        q_rows = len(layout["heads"]) * head_dim
        kv_rows = len(layout["kv_heads"]) * head_dim
        # The longest first, while there are large gaps.
        self.scores = int32s(layout["context"] if q_rows else 0)
        self.x = int32s(layout["dim"])
        self.rows = int32s(max(q_rows + 2 * kv_rows, 2 * units, layout["rows"]))
        self.heads = int32s(q_rows)
        self.rope_row = int32s(head_dim)
        dim = layout["dim"]
        self.results = int32s(layout["positions"] * dim)
        self.out = [self.results[at : at + dim] for at in range(0, len(self.results), dim)]
