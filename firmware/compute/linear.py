"""A matrix-vector product of a fixed shape; the weights of each layer lie at the same place."""


class Linear:
    """y = W x, exact: int8 weights, int32 inputs of at most 16 bits, int32 accumulators.

    The weights are rows * columns bytes from byte `at` of a layer's buffer, each weight + 128,
    block after block of columns, row-major in each. x: a memoryview of array("i") of
    `columns`. kernels.MATVEC[columns] gives the blocks: first column, columns, kernel.
    blocks: (kernel, place, inputs) of each, for those who spare themselves the call of `run`.
    """

    def __init__(self, at, rows, columns, x, kernels):
        self._rows = rows
        self.blocks = [
            (kernel, at + first * rows, x[first : first + count])
            for first, count, kernel in kernels.MATVEC[columns]
        ]

    def run(self, weights, y):
        """Computes y, a memoryview of array("i") of `rows`."""
        rows = self._rows
        for kernel, at, x in self.blocks:
            kernel(weights, 0, y, x, rows, at)
