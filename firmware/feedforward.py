"""Feed-forward units of a chip: SiLU(gate x) * up x, and its columns of the down projection."""

from firmware.linear import Linear
from protocol.compat import const

_INT16_LIMIT = const(32767)


class FeedForward:
    """Turns workspace.x into a layer's partial sum; the layers share shapes and buffers."""

    def __init__(self, shard, workspace, kernels):
        layout, places = shard.layout, shard.places
        dim, units = layout["dim"], layout["units"]
        self._kernels = kernels
        self._table = shard.sigmoid_table
        self._rows = rows = workspace.rows[: 2 * units]
        self._gate, self._up = rows[:units], rows[units:]
        self._gate_at, self._up_at = places[3:5]
        self._gate_up = Linear(places[7], 2 * units, dim, workspace.x, kernels)
        self._down = Linear(places[8], dim, units, self._gate, kernels)

    def run(self, layer, out):
        """The partial sum `out` [dim]."""
        kernels, weights, gate, up = self._kernels, layer.weights, self._gate, self._up
        units = len(gate)
        self._gate_up.run(weights, self._rows)
        kernels.rescale(gate, 0, weights, self._gate_at, units, layer.gate_shift, _INT16_LIMIT)
        kernels.rescale(up, 0, weights, self._up_at, units, layer.up_shift, _INT16_LIMIT)
        kernels.gate(
            gate, 0, up, self._table, units, layer.index_shift, layer.product_shift, layer.limit
        )
        self._down.run(weights, out)
