"""Feed-forward units of a chip: SiLU(gate x) * up x, and its columns of the down projection."""

from firmware.linear import Linear
from protocol.compat import micropython


class FeedForward:
    """Turns workspace.x into a layer's partial sum; the layers share shapes and buffers."""

    def __init__(self, shard, workspace, kernels):
        layout, places = shard.layout, shard.places
        self._dim, self._units = dim, units = layout["dim"], layout["units"]
        self._kernels = kernels
        self._table = shard.sigmoid_table
        self._rows = rows = workspace.rows[: 2 * units]
        self._gate, self._up = rows[:units], rows[units:]
        self._multipliers_at = places[3]
        self._gate_up = Linear(places[7], 2 * units, dim, workspace.x, kernels).blocks
        self._down = Linear(places[8], dim, units, self._gate, kernels).blocks

    @micropython.native
    def run(self, layer, out):
        """The partial sum `out` [dim]."""
        units = self._units
        kernels, weights, rows, gate = self._kernels, layer.weights, self._rows, self._gate
        for matvec, at, x in self._gate_up:
            matvec(weights, 0, rows, x, 2 * units, at)
        kernels.rescale(rows, 0, weights, self._multipliers_at, layer.gate_up_scales, 2)
        kernels.gate(
            gate, 0, self._up, self._table, units, layer.index_shift, layer.product_shift,
            layer.limit,
        )  # fmt: skip
        for matvec, at, x in self._down:
            matvec(weights, 0, out, x, self._dim, at)
