"""The buffers in which a chip computes, made once."""

from array import array


def int32s(count):
    """A zeroed buffer of `count` 32-bit integers as a memoryview."""
    return memoryview(array("i", bytes(4 * count)))


class Workspace:
    """x [dim]: the activation that came in. rows: accumulators of whichever matrix runs.
    out [dim]: the partial result. heads, hidden: activations between two matrices.
    scores [context]: one head's attention."""

    def __init__(self, layout):
        head_dim, units = layout["head_dim"], layout["units"]
        q_rows = len(layout["heads"]) * head_dim
        kv_rows = len(layout["kv_heads"]) * head_dim
        self.x = int32s(layout["dim"])
        self.rows = int32s(max(q_rows + 2 * kv_rows, 2 * units, layout["rows"]))
        self.out = int32s(layout["dim"])
        self.heads = int32s(q_rows)
        self.scores = int32s(layout["context"] if q_rows else 0)
