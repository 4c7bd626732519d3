"""The residual stream: where the host does not keep it, each chip of a group has a replica."""

from protocol.compat import micropython
from protocol.fields import int32s


class ResidualStream:
    """The residual stream at the positions of a step.

    values: int32 [positions * dim], at most 24 bits and a sign each.
    """

    def __init__(self, weights, kernels):
        """kernels: the module firmware.compute.norms."""
        layout = weights.layout
        self.dim = dim = layout["dim"]
        self.values = values = int32s(layout["positions"] * dim)
        self.positions = len(values) // dim
        self._rows = [values[at : at + dim] for at in range(0, len(values), dim)]
        self._x = weights.workspace.x
        self._norm, self._add_rescaled = kernels.norm, kernels.add_rescaled

    @micropython.native
    def normalize(self, i, gain, at, numbers, x=None):
        """Normalizes position i into x, int32 [dim], by default workspace.x.

        gain: u16 [dim] from byte `at` on, each multiplier + 2**15; numbers: shift, epsilon, limit.
        """
        shift, epsilon, limit = numbers
        self._norm(self._rows[i], 0, gain, at, x or self._x, self.dim, shift, epsilon, limit)

    @micropython.native
    def add(self, count, sums, multipliers, at, shift):
        """Adds sums [count, dim] * multipliers / 2**shift to the first `count` positions.

        multipliers: u16 [dim] from byte `at` on.
        """
        rows, add_rescaled, dim = self._rows, self._add_rescaled, self.dim
        for i in range(count):
            add_rescaled(
                rows[i], 0, sums[i * dim :] if i else sums, multipliers, at, dim, shift
            )  # fmt: skip
