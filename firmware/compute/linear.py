"""A matrix-vector product of fixed shape, whose weights lie at the same offset in each layer."""


class Linear:
    """Computes y = W x exactly: int8 weights, int32 inputs of at most 16 bits, int32 accumulators.

    Where `columns` is negative, the weights are in groups (host/build/group_kernels.py). Else they
    are rows * columns bytes from byte `at` of a layer's buffer, each weight + 128,
    one block of columns after another, row-major in each. x: a memoryview of int32 [columns].
    kernels.MATVEC[columns] gives the blocks: first column, columns, kernel. blocks: (kernel,
    offset of weights, inputs) of each, for code that calls the kernels itself to save a call.
    """

    def __init__(self, at, rows, columns, x, kernels):
        self._rows = rows
        self.blocks = [
            (kernel, at + first * rows, x[first : first + count])
            for first, count, kernel in kernels.MATVEC[columns]
        ]

    def run(self, weights, y):
        """Computes y, a memoryview of int32 [rows]; weights: the layer's buffer."""
        rows = self._rows
        for kernel, at, x in self.blocks:
            kernel(weights, 0, y, x, rows, at)
