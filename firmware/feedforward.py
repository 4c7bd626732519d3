"""Feed-forward units of a chip: SiLU(gate x) * up x, and its columns of the down projection."""

from firmware.linear import Linear
from protocol.compat import micropython


class FeedForward:
    """Turns workspace.x into a layer's partial sum; the layers share shapes and buffers."""

    def __init__(self, shard, workspace, kernels):
        layout, places = shard.layout, shard.places
        dim, units = layout["dim"], layout["units"]
        rows = workspace.rows[: 2 * units]
        gate = rows[:units]
        self._kernels = kernels.rescale, kernels.gate
        self._gate_up = Linear(places[7], 2 * units, dim, workspace.x, kernels).blocks
        self._down = Linear(places[8], dim, units, gate, kernels).blocks
        self._sizes = dim, units, places[3]
        self._buffers = rows, gate, rows[units:], shard.sigmoid_table

    @micropython.native
    def run(self, layer, out):
        """The partial sum `out` [dim]."""
        weights = layer.weights
        rescale, gated = self._kernels
        dim, units, multipliers_at = self._sizes
        rows, gate, up, table = self._buffers
        for matvec, at, x in self._gate_up:
            matvec(weights, 0, rows, x, 2 * units, at)
        rescale(rows, 0, weights, multipliers_at, layer.gate_up_scales, 2)
        gated(
            gate, 0, up, table, units, layer.index_shift, layer.product_shift, layer.limit
        )  # fmt: skip
        for matvec, at, x in self._down:
            matvec(weights, 0, out, x, dim, at)
