"""Generates the viper kernels that depend on the model's shapes.

A matrix-vector kernel is unrolled for its number of columns: all inputs are in locals, and a
multiply-accumulate is one load, one multiplication and one addition, in the order `acc = w * x +
acc` that viper compiles best. The same is done for attention at the model's head size
(attention_kernel.py), in blocks of elements if that is large (wide_attention_kernel.py). The
source goes through mpy-cross like any other firmware file.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from host.build.attention_kernel import attention_kernel
from host.build.group_kernels import group_kernel, group_kernel_name
from host.build.int8_kernels import int8_kernels
from host.build.norm_kernel import norm_kernel
from host.build.row_kernels import row_kernel
from host.build.unrolling import PRODUCTS, lines, per_turn, summed, turns
from host.build.wide_attention_kernel import wide_attention_kernel
from host.model.checkpoint import Config

# With more than some 250 locals viper silently generates wrong code on Xtensa, and the literal
# index of a byte load is at most 255: 192 inputs leave room for both.
MAX_COLUMNS = 192

_MATVEC = '''
@micropython.viper
def {name}(w: ptr8, acc: int, y: ptr32, xp: ptr32, rows: int, at: int):
    """{doc}"""
    w = ptr8(int(w) + at)
    acc = int(xp)
{load}
    bias = 0 - ({total} << 7)
    end = int(w) + rows * {columns}
{single}{loops}
'''

_MATVEC_LOOP = """
    {header}
{multiply}
        w = ptr8(int(w) + {stride})
        y = ptr32(int(y) + {y_stride})
"""


def column_blocks(columns: int) -> list[tuple[int, int]]:
    """Returns (first column, columns) of the blocks in which a matrix is stored and multiplied."""
    count = -(-columns // MAX_COLUMNS)
    edges = [columns * i // count for i in range(count + 1)]
    return [(low, high - low) for low, high in pairwise(edges)]


def kernel_source(
    matrix_columns: Iterable[int],
    head_dim: int,
    padding: int = 1,
    products: int = PRODUCTS,
    *,
    qk_norm: bool = False,
    int8_kv: bool = False,
) -> str:
    """Returns the module `firmware/compute/model_kernels.py` for matrices of these column counts,
    which are negative for matrices in groups.

    padding: how matrices are stored (protocol/shard_layout.py); products: how many multiplications
    one turn of a loop has (host/build/unrolling.py); qk_norm: whether queries and keys pass a norm
    before they are rotated; int8_kv: whether KV caches hold int8.
    """
    shapes = sorted({columns for columns in matrix_columns if columns > 0})
    in_groups = sorted({-columns for columns in matrix_columns if columns < 0})
    if padding == 1:
        blocks = {columns: column_blocks(columns) for columns in shapes}
        kernels = {(count, first > 0) for parts in blocks.values() for first, count in parts}
        made = [_matvec(count, adds, products) for count, adds in sorted(kernels)]
    else:
        blocks = {columns: [(0, columns)] for columns in shapes}
        made = [row_kernel(columns, padding) for columns in shapes]
    return "\n".join(
        [
            '"""Generated for this chip\'s shard of the model: see host/build/kernels.py."""\n',
            "import micropython",
            "from firmware.compute.kernels import *",
            *made,
            *map(group_kernel, in_groups),
            _attention(head_dim, products, int8_kv),
            *([norm_kernel(head_dim)] if qk_norm else []),
            "# For each number of columns: first column, columns and kernel of each block.",
            "MATVEC = {",
            *(f"    {columns}: ({_entries(parts)}),\n" for columns, parts in blocks.items()),
            *(
                f"    -{count}: ((0, {count}, {group_kernel_name(count)}),),\n"
                for count in in_groups
            ),
            "}\n",
        ]
    )


def model_kernels(
    config: Config, columns: Iterable[int], padding: int = 1, products: int = PRODUCTS
) -> str:
    """Returns what kernel_source does, for a model with these dimensions."""
    options = {"qk_norm": config.qk_norm, "int8_kv": config.int8_kv}
    return kernel_source(columns, config.head_dim, padding, products, **options)


def _attention(head_dim: int, products: int, int8_kv: bool) -> str:
    if int8_kv:
        return int8_kernels(head_dim)
    if head_dim <= MAX_COLUMNS:
        return attention_kernel(head_dim, products=products)
    return wide_attention_kernel(head_dim)


def _entries(blocks: list[tuple[int, int]]) -> str:
    return " ".join(
        f"({first}, {count}, {_matvec_name(count, first > 0)})," for first, count in blocks
    )


def _matvec_name(columns: int, adds: bool) -> str:
    return f"matvec_add_{columns}" if adds else f"matvec_{columns}"


def _matvec(columns: int, adds: bool, most: int) -> str:
    doc = f"y [rows] {'+' if adds else ''}= W [rows, {columns}] x; w holds W + 128 from byte `at`."

    def loop(rows: int, header: str) -> str:
        products = [line for row in range(rows) for line in _row(columns, row, adds)]
        return _MATVEC_LOOP.format(
            header=header,
            multiply=lines(8, products),
            stride=columns * rows,
            y_stride=4 * rows,
        )

    others = per_turn(columns, most) - 1
    return _MATVEC.format(
        name=_matvec_name(columns, adds),
        doc=doc,
        load=lines(4, (f"x{i} = ptr32(acc)[{i}]" for i in range(columns))),
        total=summed(f"x{i}" for i in range(columns)),
        columns=columns,
        single=f"    single = int(w) + (rows & {others}) * {columns}\n" if others else "",
        loops=turns(columns, most, "int(w) < single", "int(w) < end", loop),
    )


def _row(columns: int, row: int, adds: bool) -> list[str]:
    """Returns code for one output: the first product adds the bias, or all add to the value in
    y."""
    sums = ["acc" if adds else "bias", *["acc"] * (columns - 1)]
    start = [f"acc = y[{row}] + bias"] if adds else []
    first = columns * row
    products = [f"acc = w[{first + i}] * x{i} + {term}" for i, term in enumerate(sums)]
    return [*start, *products, f"y[{row}] = acc"]
