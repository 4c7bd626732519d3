"""Matrices in groups of four bits: 16 evenly spaced values for each group of 32 columns of a row.

A weight is the integer step * number + least, in units of its row and at most MOST_WEIGHT: number
0 to 15, step 0 to MOST_STEP, and least within +-MOST_LEAST, so that a group's 32 weights take 16
bytes and its step and least two more. A quantized model has these integers as int16: how they are
packed is a matter of shards, and changes no result.

Why 32 bits hold the sum of a group, computed as step * sum(number * x) + least * sum(x) with x of
16 bits: the first term is below 63 * 15 * 32 * 2**15 < 2**30, the second below 511 * 32 * 2**15
< 2**29.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from host.model.arithmetic import GROUP_COLUMNS

COLUMNS = GROUP_COLUMNS
LEVELS = 16
MOST_STEP, MOST_LEAST, MOST_WEIGHT = 63, 511, 1023
GROUP_BYTES = COLUMNS // 2 + 2

Ints = NDArray[np.integer[Any]]


def unpack(numbers: Ints, steps: Ints, leasts: Ints) -> NDArray[np.int16]:
    """Returns the weights [rows, columns] of numbers [rows, columns], and of steps and leasts
    [rows, columns / COLUMNS]."""
    spread = [np.repeat(each, COLUMNS, axis=1) for each in (steps, leasts)]
    return (numbers * spread[0] + spread[1]).astype(np.int16)


def pack(weight: NDArray[np.int16]) -> tuple[Ints, Ints, Ints]:
    """Returns numbers, steps and leasts, as for `unpack`, of weights that have them.

    Several may give the same weights; these have the largest step. Raises ValueError for weights
    that do not lie on 16 such values.
    """
    rows, columns = weight.shape
    if columns % COLUMNS:
        raise ValueError(f"{columns} columns are no whole groups of {COLUMNS}")
    groups = weight.astype(np.int64).reshape(rows, columns // COLUMNS, COLUMNS)
    smallest = groups.min(axis=2)
    above = groups - smallest[..., None]
    common, most = np.gcd.reduce(above, axis=2), above.max(axis=2)
    beyond = np.maximum(smallest - MOST_LEAST, 0)  # what numbers above 0 have to reach
    steps = np.zeros_like(common)
    for step in range(1, MOST_STEP + 1):
        fits = (common % step == 0) & (most // step - -beyond // step < LEVELS)
        steps[fits] = step
    steps[(most == 0) & (beyond == 0)] = 0
    divisors = np.maximum(steps, 1)
    first = -(-beyond // divisors)
    leasts = smallest - first * steps
    numbers = above // divisors[..., None] + first[..., None]
    wrong = (numbers * steps[..., None] + leasts[..., None] != groups).any(axis=2)
    wrong |= (np.abs(leasts) > MOST_LEAST) | (smallest + most > MOST_WEIGHT)
    if wrong.any():
        row, group = np.argwhere(wrong)[0]
        raise ValueError(f"group {group} of row {row} does not lie on {LEVELS} values")
    return numbers.reshape(rows, columns), steps, leasts
