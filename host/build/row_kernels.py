"""Generates the viper twins of matrix kernels for whole rows.

The machine code for ESP32 and S3 needs rows padded to PAIRS or VECTORS columns, as
protocol/shard_layout.py describes. Its twin works on the same weights: it proves the machine code
at a chip's first start, and replaces it if that is wrong. Inputs are in locals, one block of
columns after another.
"""

from __future__ import annotations

from collections.abc import Iterable

from host.build.unrolling import lines, summed
from protocol.shard_layout import PAIRS

# The literal index of a byte load is at most 255: half as many columns if rows are in pairs.
_BLOCK = {PAIRS: 112}
_BLOCK_OF_ROWS = 192

_KERNEL = '''
@micropython.viper
def {name}(w: ptr8, acc: int, y: ptr32, xp: ptr32, rows: int, at: int):
    """{doc}"""
    begin = int(w) + at
    out = int(y)
{blocks}
'''

_INPUTS = """
    acc = int(xp) + {place}
{load}
    bias = 0 - ({total} << 7)
    y = ptr32(out)
    w = ptr8(begin + {first})
"""

_ROWS = """
    end = int(w) + rows * {stride}
    while int(w) < end:
{multiply}
        w = ptr8(int(w) + {stride})
        y = ptr32(int(y) + 4)
"""

# The upper row of a pair is stored as int8: flipping a byte's highest bit adds 128.
_PAIRS = """
    end = int(w) + (rows >> 1) * {stride}
    while int(w) < end:
{lower}
{upper}
        w = ptr8(int(w) + {stride})
        y = ptr32(int(y) + 8)
    if rows & 1:
        w = ptr8(int(w) - {back})
{multiply}
"""


def row_kernel(columns: int, padding: int) -> str:
    """Returns the kernel matvec_N for rows of `columns` columns, padded to a multiple of
    `padding`."""
    size = _BLOCK.get(padding, _BLOCK_OF_ROWS)
    blocks = [range(low, min(low + size, columns)) for low in range(0, columns, size)]
    filled = columns + -columns % padding
    return _KERNEL.format(
        name=f"matvec_{columns}",
        doc=f"y [rows] = W [rows, {columns}] x; the weights are stored from byte `at` of w on.",
        blocks="\n".join(_block(block, filled, padding) for block in blocks),
    )


def _block(columns: range, filled: int, padding: int) -> str:
    """Returns code that adds the products of these columns to y."""
    count = len(columns)
    in_pairs = padding == PAIRS
    inputs = _INPUTS.format(
        place=4 * columns.start,
        load=lines(4, (f"x{i} = ptr32(acc)[{i}]" for i in range(count))),
        total=summed(f"x{i}" for i in range(count)),
        first=columns.start * (2 if in_pairs else 1),
    )
    adds = columns.start > 0
    single = lines(8, _row(0, adds, [f"w[{i}]" for i in range(count)]))
    if not in_pairs:
        rows = _ROWS.format(stride=filled, multiply=single)
    else:
        rows = _PAIRS.format(
            stride=2 * filled,
            back=columns.start,
            lower=lines(8, _row(0, adds, [f"w[{2 * i}]" for i in range(count)])),
            upper=lines(8, _row(1, adds, [f"(w[{2 * i + 1}] ^ 128)" for i in range(count)])),
            multiply=single,
        )
    return (inputs + rows).replace("\n\n", "\n").strip("\n")


def _row(row: int, adds: bool, weights: list[str]) -> Iterable[str]:
    """Returns code for one output: the products of the block and, except for the first block, the
    value in y."""
    yield f"acc = y[{row}] + bias" if adds else "acc = bias"
    for i, weight in enumerate(weights):
        yield f"acc = {weight} * x{i} + acc"
    yield f"y[{row}] = acc"
