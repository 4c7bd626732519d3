"""The feed-forward units of a chip: SiLU(gate x) * up x, and its columns of the down projection."""

from firmware.linear import Linear

_INT16_LIMIT = 32767


class FeedForward:
    """One layer. `run(out)` turns workspace.x into the partial sum `out` [dim]."""

    def __init__(self, shard, layer, workspace, kernels):
        layout, numbers = shard.layout, layer.numbers
        dim, units = layout["dim"], layout["units"]
        self._rows = rows = workspace.rows[: 2 * units]
        self._kernels = kernels
        self._layer = layer
        self._units = units
        self._table = shard.sigmoid_table
        self._gate, self._up = rows[:units], rows[units:]
        self._gate_up = Linear(layer.gate_up, 2 * units, dim, workspace.x, kernels)
        self._down = Linear(layer.down, dim, units, self._gate, kernels)
        self._gate_shift, self._up_shift = numbers["gate"], numbers["up"]
        self._index_shift, self._product_shift = numbers["index"], numbers["product"]
        self._limit = numbers["hidden"]

    def run(self, out):
        """Computes the partial sum."""
        kernels, layer, gate, up, units = (
            self._kernels,
            self._layer,
            self._gate,
            self._up,
            self._units,
        )
        self._gate_up.run(self._rows)
        kernels.rescale(
            gate, 0, layer.gate_multipliers, gate, units, self._gate_shift, _INT16_LIMIT
        )
        kernels.rescale(up, 0, layer.up_multipliers, up, units, self._up_shift, _INT16_LIMIT)
        kernels.gate(
            gate, 0, up, self._table, units, self._index_shift, self._product_shift, self._limit
        )
        self._down.run(out)
