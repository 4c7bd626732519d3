"""Source of the viper kernels whose code depends on the model's shapes.

A matrix-vector kernel is written out for its number of columns: all inputs sit in locals and a
multiply-accumulate is one load, one multiplication and one addition, in the order
`acc = w * x + acc` that viper compiles best. The same is done for q.k and a.v at the model's head
size. The source goes through mpy-cross like any other firmware file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise

from host.model.checkpoint import ModelError

# Viper goes wrong silently beyond some 250 locals on Xtensa, and a byte load's literal index ends
# at 255: 192 inputs leave room for both.
MAX_COLUMNS = 192

# Multiplications in one turn of a loop over rows or positions: more would save little, and code
# takes memory.
_PRODUCTS = 64

_MATVEC = '''
@micropython.viper
def {name}(w: ptr8, acc: int, y: ptr32, xp: ptr32, rows: int, at: int):
    """{doc}"""
    w = ptr8(int(w) + at)
{load}
    bias = 0 - ({total} << 7)
    end = int(w) + rows * {columns}
{loops}
'''

_MATVEC_LOOP = """
    {header}
{multiply}
        w = ptr8(int(w) + {stride})
        y = ptr32(int(y) + {y_stride})
"""

_SCORES = '''
@micropython.viper
def scores(k: ptr16, acc: int, out: ptr32, qp: ptr32, n: int, row: int) -> int:
    """out [n] = k [n, {size}] q [{size}]; the largest. |out| < 2**30.

    k: value + 2**15, from row `row` of the cache on.
    """
    k = ptr16(int(k) + row * {stride})
{load}
    bias = 0 - ({total} << 15)
    largest = 0 - 0x3fffffff
{loops}
    return largest
'''

_SCORES_LOOP = """
    {header}
{multiply}
        k = ptr16(int(k) + {stride})
        out = ptr32(int(out) + {out_stride})
"""

_SCORE = """
{multiply}
        out[{index}] = acc
        if acc > largest:
            largest = acc
"""

_MEAN = '''
@micropython.viper
def mean(v: ptr16, weight: int, weights: ptr32, out: ptr32, n: int, total: int, row: int):
    """out [{size}]: mean of v [n, {size}] under weights [n], half-up.

    v: value + 2**15, from row `row` of the cache on. `total` is the sum of weights; they are
    first shifted right until it has about 15 bits.
    """
    v = ptr16(int(v) + row * {stride})
    shift = 0
    total -= 1
    while total > 32767:
        total = total >> 1
        shift += 1
    half = 1 << shift >> 1
    total = 0
{clear}
{loops}
    bias = (total >> 1) - (total << 15)
{divide}
'''

_MEAN_LOOP = """
    {header}
{load}
        total = total + {sum}
{multiply}
        v = ptr16(int(v) + {stride})
        weights = ptr32(int(weights) + {weights_stride})
"""


def column_blocks(columns: int) -> list[tuple[int, int]]:
    """(first column, columns) of the blocks in which a matrix is stored and multiplied."""
    count = -(-columns // MAX_COLUMNS)
    edges = [columns * i // count for i in range(count + 1)]
    return [(low, high - low) for low, high in pairwise(edges)]


def kernel_source(matrix_columns: Iterable[int], head_dim: int) -> str:
    """The module `firmware/model_kernels.py` for matrices of these column counts.

    Raises ModelError for heads too large to be held in locals.
    """
    if head_dim > MAX_COLUMNS:
        raise ModelError(f"head size {head_dim}: kernels are made for at most {MAX_COLUMNS}")
    blocks = {columns: column_blocks(columns) for columns in sorted(set(matrix_columns))}
    kernels = {(count, first > 0) for parts in blocks.values() for first, count in parts}
    return "\n".join(
        [
            '"""Generated for this chip\'s share of the model: see host/deploy/kernels.py."""\n',
            "import micropython",
            "from firmware.kernels import *",
            *(_matvec(count, adds) for count, adds in sorted(kernels)),
            _scores(head_dim),
            _mean(head_dim),
            "# For each number of columns: first column, columns and kernel of each block.",
            "MATVEC = {",
            *(f"    {columns}: ({_entries(parts)}),\n" for columns, parts in blocks.items()),
            "}\n",
        ]
    )


def _entries(blocks: list[tuple[int, int]]) -> str:
    return " ".join(
        f"({first}, {count}, {_matvec_name(count, first > 0)})," for first, count in blocks
    )


def _matvec_name(columns: int, adds: bool) -> str:
    return f"matvec_add_{columns}" if adds else f"matvec_{columns}"


def _matvec(columns: int, adds: bool) -> str:
    doc = f"y [rows] {'+' if adds else ''}= W [rows, {columns}] x; w holds W + 128 from byte `at`."

    def loop(rows: int, header: str) -> str:
        lines = [line for row in range(rows) for line in _row(columns, row, adds)]
        return _MATVEC_LOOP.format(
            header=header,
            multiply=_lines(8, lines),
            stride=columns * rows,
            y_stride=4 * rows,
        )

    return _MATVEC.format(
        name=_matvec_name(columns, adds),
        doc=doc,
        load=_lines(4, (f"x{i} = xp[{i}]" for i in range(columns))),
        total=_sum("x", columns),
        columns=columns,
        loops=_loops(columns, "rows", "while int(w) < end:", loop),
    )


def _row(columns: int, row: int, adds: bool) -> list[str]:
    """One output: the first product takes the bias, or all add to what stands in y."""
    sums = ["acc" if adds else "bias", *["acc"] * (columns - 1)]
    start = [f"acc = y[{row}] + bias"] if adds else []
    first = columns * row
    products = [f"acc = w[{first + i}] * x{i} + {term}" for i, term in enumerate(sums)]
    return [*start, *products, f"y[{row}] = acc"]


def _scores(size: int) -> str:
    return _SCORES.format(
        size=size,
        load=_lines(4, (f"q{i} = qp[{i}]" for i in range(size))),
        total=_sum("q", size),
        stride=2 * size,
        loops=_loops(size, "n", "", partial(_scores_loop, size)),
    )


def _scores_loop(size: int, positions: int, header: str) -> str:
    def score(position: int) -> str:
        first = position * size
        products = (f"acc = k[{first + i}] * q{i} + {'acc' if i else 'bias'}" for i in range(size))
        return _SCORE.format(multiply=_lines(8, products), index=position).strip("\n")

    return _SCORES_LOOP.format(
        header=header,
        multiply="\n".join(score(position) for position in range(positions)),
        stride=2 * size * positions,
        out_stride=4 * positions,
    )


def _mean(size: int) -> str:
    return _MEAN.format(
        size=size,
        clear=_lines(4, (f"a{i} = 0" for i in range(size))),
        divide=_lines(4, (f"out[{i}] = (a{i} + bias) // total" for i in range(size))),
        stride=2 * size,
        loops=_loops(size, "n", "", partial(_mean_loop, size)),
    )


def _mean_loop(size: int, positions: int, header: str) -> str:
    """Sums of several positions go through `weight`, for it is in a register, as is the pointer to
    the weights before."""
    if positions == 1:
        names, pointer = ["weight"], "weights"
        lines = [f"a{i} = v[{i}] * weight + a{i}" for i in range(size)]
    else:
        names, pointer = [f"w{p}" for p in range(positions)], "ptr32(weight)"
        lines = [
            f"{'weight' if p < positions - 1 else f'a{i}'} ="
            f" v[{p * size + i}] * w{p} + {'weight' if p else f'a{i}'}"
            for i in range(size)
            for p in range(positions)
        ]
    loads = [f"{w} = {pointer}[{p}] + half >> shift" for p, w in enumerate(names)]
    if positions > 1:
        loads.insert(0, "weight = int(weights)")
    return _MEAN_LOOP.format(
        header=header,
        load=_lines(8, loads),
        sum=" + ".join(names),
        multiply=_lines(8, lines),
        stride=2 * size * positions,
        weights_stride=4 * positions,
    )


def _loops(products: int, count: str, condition: str, loop: Callable[[int, str], str]) -> str:
    """Code that goes over `count` rows or positions of so many products each.

    First one by one what does not fill a turn of as many as take _PRODUCTS multiplications, then
    in such turns, while `condition` holds, or by counting down where there is none.
    """
    several = 1
    while 2 * several * products <= _PRODUCTS:
        several *= 2
    whole = loop(several, condition or f"while {count}:\n        {count} -= {several}")
    if several == 1:
        return whole.strip("\n")
    single = loop(1, f"while {count} & {several - 1}:\n        {count} -= 1")
    return (single + whole).replace("\n\n", "\n").strip("\n")


def _sum(name: str, count: int) -> str:
    return "(" + " + ".join(f"{name}{i}" for i in range(count)) + ")"


def _lines(indent: int, lines: Iterable[str]) -> str:
    return "\n".join(" " * indent + line for line in lines)
