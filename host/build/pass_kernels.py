"""Generates the viper twins of matrix kernels that compute several positions in a pass.

The project's machine code reads a matrix once for all of them. Its twin specifies the result in as
few lines as possible, on matrices as in protocol/shard_layout.py. It is on no chip: chips with
viper's kernels multiply for one position after another, and native kernels are proved by that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from host.build.kernels import column_blocks
from host.hardware.kernels import MOST_POSITIONS, positions_in_pass
from protocol.shard_layout import PAIRS, VECTORS

_KERNEL = '''
@micropython.viper
def {name}(
    w: ptr8, count: int, y: ptr32, x: ptr32, rows: int, at: int, y_step: int, x_step: int
):
    """y [count, rows] {adds}= x [count, {columns}] W [rows, {columns}]; the weights are stored
    from byte `at` of w on. y_step, x_step: bytes from a position's y, and x, to the next one's."""
    at += int(w)
    while count:
        row = 0
        while row < rows:
            acc = {start}
            i = 0
            while i < {columns}:
{weight}
                acc = v * x[i] + acc
                i += 1
            y[row] = acc
            row += 1
        y = ptr32(int(y) + y_step)
        x = ptr32(int(x) + x_step)
        count -= 1
'''

_WEIGHTS = {
    1: "                v = ptr8(at)[row * {columns} + i] - 128",
    PAIRS: """
                if row + 1 == rows and rows & 1:
                    v = ptr8(at)[row * {filled} + i] - 128
                elif row & 1:
                    v = (ptr8(at)[(row - 1) * {filled} + 2 * i + 1] ^ 128) - 128
                else:
                    v = ptr8(at)[row * {filled} + 2 * i] - 128
""".strip("\n"),
    VECTORS: "                v = ptr8(at)[row * {filled} + i] - 128",
}


def pass_kernel(columns: int, padding: int, adds: bool = False) -> str:
    """Returns the kernel matmul_N, or matmul_add_N, for rows of `columns` columns, padded to a
    multiple of `padding`."""
    filled = columns + -columns % padding
    return _KERNEL.format(
        name=pass_name(columns, adds),
        columns=columns,
        adds="+" if adds else "",
        start="y[row]" if adds else "0",
        weight=_WEIGHTS[padding].format(columns=columns, filled=filled),
    )


def pass_name(columns: int, adds: bool) -> str:
    """Returns the name of a kernel."""
    return f"matmul_add_{columns}" if adds else f"matmul_{columns}"


def pass_source(
    matrix_columns: Iterable[int], padding: int, counts: Sequence[int] = (MOST_POSITIONS,)
) -> str:
    """Returns the module `firmware/compute/pass_kernels.py` for matrices of these column counts,
    as for kernel_source; "" if it would have none. padding: how matrices are stored; counts: the
    numbers of positions computed together, the largest first."""
    shapes = sorted(set(matrix_columns))
    if padding == 1:
        blocks = {columns: column_blocks(columns) for columns in shapes}
    else:
        fitting = [columns for columns in shapes if max(counts) <= positions_in_pass(columns)]
        blocks = {columns: [(0, columns)] for columns in fitting}
    kernels = sorted({(count, first > 0) for parts in blocks.values() for first, count in parts})
    if not kernels:
        return ""
    return "\n".join(
        [
            '"""Generated for a chip\'s shard of the model: see host/build/pass_kernels.py."""\n',
            "import micropython",
            *(pass_kernel(count, padding, adds) for count, adds in kernels),
            "# Positions that go together, and kernels as model_kernels' MATVEC has them.",
            f"COUNTS = {tuple(counts)}",
            "MATMUL = {",
            *(
                f"    {columns}: ("
                + " ".join(f"({low}, {n}, {pass_name(n, low > 0)})," for low, n in parts)
                + "),"
                for columns, parts in blocks.items()
            ),
            "}\n",
        ]
    )
