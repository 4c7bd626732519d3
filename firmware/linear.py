"""A weight matrix in a chip's memory, bound to its input buffer."""


class Linear:
    """y = W x, exact: int8 weights, int32 inputs of at most 16 bits, int32 accumulators.

    weights: a memoryview of rows * columns bytes, each weight + 128, block after block of
    columns, row-major in each. x: a memoryview of array("i") of `columns`.
    kernels.MATVEC[columns] gives the blocks: first column, columns, kernel.
    """

    def __init__(self, weights, rows, columns, x, kernels):
        self.rows = rows
        self._blocks = []
        for first, count, kernel in kernels.MATVEC[columns]:
            at = first * rows
            block = weights[at : at + count * rows]
            self._blocks.append((kernel, block, x[first : first + count]))

    def run(self, y):
        """Computes y, a memoryview of array("i") of `rows`."""
        for kernel, weights, x in self._blocks:
            kernel(weights, 0, y, x, self.rows)
