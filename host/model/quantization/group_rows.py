"""Keeps a file's own groups of 16 evenly spaced values: rows of integers that lie on these.

Files of 4 bits a weight (GGUF's Q4_0, Q4_1 and Q4_K) have such groups. They are found in the float
weights, so that the file's format is of no concern here. A row's unit is the one in which its
groups' steps and least values, rounded to whole units, give products nearest to what they were:
columns with large inputs weigh most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host.model.arithmetic import GROUP_SHIFT
from host.model.checkpoint import Config
from host.model.float_weights import FloatWeights
from host.model.groups import COLUMNS, LEVELS, MOST_LEAST, MOST_STEP, MOST_WEIGHT
from host.model.quantization.rounding import SMALLEST, Floats, Levels, Moments, round_rows
from host.model.quantization.scales import Rows, iterate_blocks
from host.model.quantized import bound_norm

# Matrices that a chip has as one, or alone: all of a set are in groups, or none is.
_TOGETHER = (("wq", "wk", "wv"), ("wo",), ("w1", "w3"), ("w2",))
_TRIED = 24  # units of a row, up to half as large again as the smallest
_SAMPLED = 64  # rows of a matrix that tell whether the file has it in groups
_MOST_APART = 0.02  # steps by which a weight may lie beside the even values
_FEWEST = 0.99  # of a matrix's groups that must lie on even values


class GroupRows(Rows):
    """A float matrix [rows, columns] as int16 in groups, with a real scale per row.

    columns: a multiple of COLUMNS; moments: as of Rows.
    """

    def __init__(self, weight: NDArray[np.float32], moments: Moments | None = None) -> None:
        self.scale = np.empty(len(weight))
        self.weight = np.empty(weight.shape, np.int16)
        weights = moments.weigh_columns() if moments else np.ones(weight.shape[1])
        for rows in iterate_blocks(weight):
            wide = weight[rows].astype(np.float64)
            unit, levels = _choose_levels(wide, weights)
            self.scale[rows] = unit * 2.0**GROUP_SHIFT
            self.weight[rows] = round_rows(wide / unit[:, None], moments, levels)
        self.largest_norm = bound_norm(self.weight)


def find_grouped(
    weights: FloatWeights, advance: Callable[[], object] = lambda: None
) -> frozenset[str]:
    """Returns the names of the matrices that the file has in groups in all layers.

    advance: called after each layer. Raises ModelError for weights that cannot be read.
    """
    names = set(list_divisible(weights.config))
    for index in range(weights.config.layers):
        layer = weights.layer(index)
        names = {name for name in names if _is_grouped(layer[name])}
        advance()
    return _find_whole_sets(names)


def list_divisible(config: Config) -> frozenset[str]:
    """Returns the names of the matrices whose columns chips divide into whole groups."""
    columns: Mapping[str, int] = {
        **dict.fromkeys(("wq", "wk", "wv", "w1", "w3"), config.dim),
        "wo": config.head_dim,
        "w2": config.hidden_dim,
    }
    return _find_whole_sets({name for name, count in columns.items() if count % COLUMNS == 0})


def _find_whole_sets(names: Set[str]) -> frozenset[str]:
    whole = (matrices for matrices in _TOGETHER if names >= set(matrices))
    return frozenset(name for matrices in whole for name in matrices)


def _is_grouped(weight: NDArray[np.float32]) -> bool:
    rows = np.linspace(0, len(weight) - 1, min(len(weight), _SAMPLED)).astype(int)
    step, _, _, levels = _find_even(weight[rows].astype(np.float64))
    return bool(np.mean((levels < LEVELS) & (step > 0)) >= _FEWEST)


def _find_even(rows: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Returns of each group [rows, groups] the step between its even values, the first and the
    last of them, and how many steps lie between these: LEVELS where they are not even."""
    groups = np.sort(rows.reshape(len(rows), -1, COLUMNS), axis=2)
    first, last = groups[..., 0], groups[..., -1]
    span = np.maximum(last - first, SMALLEST)
    apart = np.diff(groups, axis=2)
    least = np.where(apart > 1e-3 * span[..., None], apart, np.inf).min(axis=2)
    count = np.maximum(np.round(span / np.minimum(least, span)), 1)
    place = (groups - first[..., None]) * (count / span)[..., None]
    is_even = (count < LEVELS) & (np.abs(place - np.round(place)).max(axis=2) <= _MOST_APART)
    step = span / np.where(is_even, count, LEVELS - 1)
    return step, first, last, np.where(is_even, count, LEVELS)


def _choose_levels(rows: Floats, weights: Floats) -> tuple[Floats, Levels]:
    """Returns each row's unit, and in units of it what each of its columns can be.

    Groups without even values get some from their least to their largest weight. weights
    [columns]: how much the square of a column's error weighs.
    """
    step, first, last, _ = _find_even(rows)
    largest = np.maximum(np.abs(first), np.abs(last)).max(axis=1)
    smallest = np.maximum(np.maximum(step.max(axis=1) / MOST_STEP, largest / MOST_LEAST), SMALLEST)
    groups, weights = (each.reshape(*each.shape[:-1], -1, COLUMNS) for each in (rows, weights))
    numbers = np.round((groups - first[..., None]) / step[..., None])
    # Sums over a group's columns, from which follow those of squares for any step and least value.
    value, number = ((each * weights).sum(axis=-1) for each in (groups, numbers))
    square, product = ((each * numbers * weights).sum(axis=-1) for each in (numbers, groups))
    total = weights.sum(axis=-1)
    best: Any = np.full(len(rows), np.inf)
    unit, steps, leasts = np.empty(len(rows)), np.empty_like(step), np.empty_like(step)
    for tried in range(_TRIED):
        one = (smallest * (1 + tried / (2 * _TRIED)))[:, None]
        whole = np.clip(np.round(step / one), 1, MOST_STEP)
        begin = np.clip(np.round((value / one - whole * number) / total), -MOST_LEAST, MOST_LEAST)
        least, each = begin * one, whole * one
        # Less the sum of the squares of the values, which is always the same.
        error = least * (least * total + 2 * (each * number - value))
        error = (error + each * (each * square - 2 * product)).sum(axis=1)
        better = error < best
        best[better], unit[better] = error[better], one[better, 0]
        steps[better], leasts[better] = whole[better], begin[better]
    counts = np.minimum((MOST_WEIGHT - leasts) // steps, LEVELS - 1)
    return unit, Levels(*(np.repeat(each, COLUMNS, axis=1) for each in (steps, leasts, counts)))
