"""Generates the viper kernels for matrices in groups of four bits, and stores such matrices.

A row of G groups has 16 * G bytes, and behind all rows each has 2 * G bytes more. Of a group of
32 columns, the 16 bytes are 8 words of 16 bits: word i has the numbers of columns i, i + 8, i + 16
and i + 24, from its lowest bits on. The 2 bytes are an int16, 64 * least + step
(host/model/groups.py). Both the vector unit of an ESP32-S3 and MAC16 of an ESP32 find numbers for
their words of 16 bits in there by shifting and masking.

A kernel without such units need not mask. With c[i] = x[i] - 16 * x[i - 8], and x beside the group
0, the products of c with what is left of a word after shifts by 0, 4, 8 and 12 bits add up to the
products of x with the word's numbers: what higher numbers add too much is taken away again. These
products wrap in 32 bits, their sum, below 2**24, does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from host.build.unrolling import lines, summed
from host.model.groups import COLUMNS, pack

WORDS = 8  # of 16 bits in a group
NUMBER_BITS, STEP_BITS = 4, 6
GROUP_SIZE = 2 * WORDS
ALIGNMENT = 16  # of a matrix, and of the rows in it

_KERNEL = '''
@micropython.viper
def {name}(w: ptr16, acc: int, y: ptr32, xp: ptr32, rows: int, at: int):
    """y [rows] = W [rows, {columns}] x; W is stored in groups from byte `at` of w on."""
    begin = int(w) + at
    parts = begin + rows * {stride}
    out = int(y)
    left = int(out) + (rows << 2)
    while int(y) != left:
        y[0] = 0
        y = ptr32(int(y) + 4)
    at = 0
    while at != {stride}:
{load}
        total = {total}
{less}
        w = ptr16(begin + at)
        y = ptr32(out)
        part = ptr16(parts + (at >> 3))
        while int(y) != left:
            acc = 0
{multiply}
            v = part[0]
            v = (v & 63) * acc + (v << 16 >> 22) * total + 2 >> 2
            y[0] = y[0] + v
            w = ptr16(int(w) + {stride})
            y = ptr32(int(y) + 4)
            part = ptr16(int(part) + {part_stride})
        xp = ptr32(int(xp) + {x_stride})
        at += {size}
'''


def group_kernel(columns: int) -> str:
    """Returns the kernel matvec_groups_N for rows of `columns` columns, a multiple of COLUMNS."""
    stride = columns // COLUMNS * GROUP_SIZE
    multiply = []
    for word in range(WORDS):
        for place in range(COLUMNS // WORDS):
            shifted = f"(w[{word}] >> {NUMBER_BITS * place})" if place else f"w[{word}]"
            multiply.append(f"acc = {shifted} * x{word + WORDS * place} + acc")
    return _KERNEL.format(
        name=group_kernel_name(columns),
        columns=columns,
        stride=stride,
        load=lines(8, (f"x{i} = xp[{i}]" for i in range(COLUMNS))),
        total=summed(f"x{i}" for i in range(COLUMNS)),
        # From the last on, so that what is taken away is still what it was.
        less=lines(
            8, (f"x{i} = x{i} - (x{i - WORDS} << 4)" for i in range(COLUMNS - 1, WORDS - 1, -1))
        ),
        multiply=lines(12, multiply),
        part_stride=columns // COLUMNS * 2,
        x_stride=4 * COLUMNS,
        size=GROUP_SIZE,
    )


def group_kernel_name(columns: int) -> str:
    """Returns the name of a kernel."""
    return f"matvec_groups_{columns}"


def stored_groups(weight: NDArray[np.int16]) -> bytes:
    """Returns a matrix [rows, columns] as kernels take it, filled up to a multiple of ALIGNMENT.

    Raises ValueError for weights that are not in groups.
    """
    numbers, steps, leasts = pack(weight)
    words = numbers.reshape(*steps.shape, COLUMNS // WORDS, WORDS).astype("<u2")
    shifts = NUMBER_BITS * np.arange(COLUMNS // WORDS, dtype="<u2")
    joined = np.bitwise_or.reduce(words << shifts[:, None], axis=2)
    parts = (leasts << STEP_BITS) + steps
    content = joined.astype("<u2").tobytes() + parts.astype("<i2").tobytes()
    return content + bytes(-len(content) % ALIGNMENT)
