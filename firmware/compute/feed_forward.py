"""Feed-forward units of a chip: SiLU(gate x) * up x, and its columns of the down projection."""

from firmware.compute.linear import Linear
from protocol.compat import micropython
from protocol.shard_layout import (
    DOWN_WEIGHTS,
    GATE_MULTIPLIERS,
    GATE_UP_WEIGHTS,
    MATRIX_COLUMNS,
)


class FeedForward:
    """Computes a layer's partial sum from workspace.x; all layers share shapes and buffers.

    Where chips exchange by all-gather it ends with the units' activations, at the start of
    workspace.rows.
    """

    def __init__(self, weights, workspace, kernels):
        layout, places = weights.layout, weights.places
        dim, units = layout["dim"], layout["units"]
        rows = workspace.rows[: 2 * units]
        gate = rows[:units]
        # As in attention.py: `run` names what these tuples hold.
        self._kernels = kernels.rescale, kernels.gate
        columns = places[GATE_UP_WEIGHTS + MATRIX_COLUMNS]
        gate_up = Linear(places[GATE_UP_WEIGHTS], 2 * units, columns, workspace.x, kernels)
        self._gate_up = gate_up.blocks
        self._down = ()
        if "gather" not in layout:
            columns = places[DOWN_WEIGHTS + MATRIX_COLUMNS]
            self._down = Linear(places[DOWN_WEIGHTS], dim, columns, gate, kernels).blocks
        self._sizes = dim, units, places[GATE_MULTIPLIERS]
        self._buffers = rows, gate, rows[units:], weights.sigmoid_table

    @micropython.native
    def run(self, layer, out):
        """Computes the layer's partial sum into out, int32 [dim]."""
        weights = layer.weights
        rescale, silu = self._kernels
        dim, units, multipliers_at = self._sizes
        rows, gate, up, table = self._buffers
        for matvec, at, x in self._gate_up:
            matvec(weights, 0, rows, x, 2 * units, at)
        rescale(rows, 0, weights, multipliers_at, layer.gate_up_scales, 2)
        index_shift, product_shift, limit = layer.gating
        silu(gate, 0, up, table, units, index_shift, product_shift, limit)
        for matvec, at, x in self._down:
            matvec(weights, 0, out, x, dim, at)
