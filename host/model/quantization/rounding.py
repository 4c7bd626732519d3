"""Rounding in which the columns of a row make up for what others were rounded by.

What counts is not how near integers are to weights, but how near their products with inputs are:
with M the second moments of inputs, rounding a row by errors e costs e M e^T. So columns are
rounded one after another, and after each those that are left move to where they make the cost
least (Frantar et al., "GPTQ", 2022, after Hassibi and Stork's "Optimal brain surgeon", 1993).
Inputs of language models are so much alike that few directions hold most of M, and errors are
moved out of these. Scales stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Wider matrices are rounded in parts of so many columns, each for itself, so that neither memory
# nor time grows with the square of the width.
WIDEST = 2048
# Added to the diagonal of the moments, as parts of what is usual there: so much always, and so
# much times columns per input that was seen, since few inputs leave most directions unseen.
DAMPING, DOUBT = 0.01, 0.25
LARGEST = 127
SMALLEST = 1e-30  # stands for 0 if it is divided by or its logarithm is taken
_BLOCK = 64  # columns after whose rounding those behind them are brought up to date


class Levels(NamedTuple):
    """Whole numbers among which weights [rows, columns] are rounded: from `leasts` on, `counts` of
    `steps`."""

    steps: Floats
    leasts: Floats
    counts: Floats


class Moments:
    """Second moments of a matrix's inputs, of parts of at most WIDEST of its columns."""

    def __init__(self, columns: int) -> None:
        count = -(-columns // WIDEST)
        self._seen = 0
        self._factors: list[tuple[slice, NDArray[np.integer[Any]], Floats]] = []
        edges = np.linspace(0, columns, count + 1).astype(int).tolist()
        self._parts = [
            (slice(first, last), np.zeros((last - first, last - first)))
            for first, last in pairwise(edges)
        ]

    def add(self, inputs: Floats) -> None:
        """Takes in inputs [..., columns]."""
        with np.errstate(over="ignore"):
            rows = inputs.reshape(-1, inputs.shape[-1]).astype(np.float32)
        self._seen += len(rows)
        self._factors.clear()
        for columns, part in self._parts:
            chosen = rows[:, columns]
            with np.errstate(over="ignore", invalid="ignore"):  # _factor takes care of these
                part += chosen.T @ chosen

    def weigh_columns(self) -> Floats:
        """Returns how much each column's inputs weigh [columns], above 0: their mean square, and a
        little of that of all."""
        found = np.concatenate([moments.diagonal() for _, moments in self._parts])
        found = np.where(np.isfinite(found), found, 0)
        return np.asarray(found + max(DAMPING * float(found.mean()), SMALLEST))

    def factors(self) -> list[tuple[slice, NDArray[np.integer[Any]], Floats]]:
        """Returns for each part its columns, the order in which to round them, and the upper
        Cholesky factor of the inverse of their moments in that order.

        They are computed once for all blocks of rows, and for all matrices with these inputs.
        """
        if not self._factors:
            self._factors.extend(self._factor())
        return self._factors

    def _factor(self) -> Iterator[tuple[slice, NDArray[np.integer[Any]], Floats]]:
        for columns, moments in self._parts:
            # Values of inputs that overflow are of no use.
            part = moments if np.isfinite(moments).all() else np.eye(len(moments))
            diagonal = part.diagonal()
            # Not the mean, which a single massive input decides.
            usual = max(float(np.median(diagonal)), float(diagonal.mean()) / 100, SMALLEST)
            damping = usual * (DAMPING + DOUBT * len(part) / max(self._seen, 1))
            # What weighs most is rounded first, while there are others left to make up for it.
            order = np.argsort(-diagonal, kind="stable")
            yield columns, order, _factor_inverse(part[np.ix_(order, order)], damping)


def round_rows(scaled: Floats, moments: Moments | None, levels: Levels | None = None) -> Floats:
    """Returns whole numbers of at most LARGEST, [rows, columns] as `scaled`, that give nearly the
    same products with inputs of these moments; the nearest ones if moments are None.

    levels: the numbers among which they then are.
    """
    if moments is None:
        return _nearest(scaled, levels)
    rounded = np.empty_like(scaled)
    for columns, order, factor in moments.factors():
        # Columns are rows here, so that each lies in one piece.
        left = np.ascontiguousarray(scaled[:, columns].T[order])
        ordered = levels and Levels(*(each[:, columns].T[order] for each in levels))
        _round_columns(left, factor, ordered)
        part = np.empty_like(left)
        part[order] = left
        rounded[:, columns] = part.T
    return rounded


def _factor_inverse(moments: Floats, damping: float) -> Floats:
    """Returns the upper Cholesky factor of the inverse of moments, their diagonal damped by as
    much as is asked for, or as it takes to have one in spite of rounding."""
    while True:
        try:
            inverse = np.linalg.inv(moments + damping * np.eye(len(moments)))
            return np.asarray(np.linalg.cholesky((inverse + inverse.T) / 2).T, np.float64)
        except np.linalg.LinAlgError:
            damping *= 10


def _nearest(values: Floats, levels: Levels | None) -> Floats:
    """Returns the nearest whole numbers of at most LARGEST, or the nearest levels."""
    if levels is None:
        return np.clip(np.round(values), -LARGEST, LARGEST)
    steps, leasts, counts = levels
    return np.asarray(np.clip(np.round((values - leasts) / steps), 0, counts) * steps + leasts)


def _round_columns(left: Floats, factor: Floats, levels: Levels | None) -> None:
    """Rounds `left` [columns, rows] in place, one column after another; levels: as `left`."""
    for start in range(0, len(left), _BLOCK):
        end = min(start + _BLOCK, len(left))
        errors = np.empty((end - start, left.shape[1]))
        for place in range(start, end):
            its_own = levels and Levels(*(each[place] for each in levels))
            whole = _nearest(left[place], its_own)
            error = errors[place - start] = (left[place] - whole) / factor[place, place]
            left[place] = whole
            left[place + 1 : end] -= factor[place, place + 1 : end, None] * error
        left[end:] -= factor[start:end, end:].T @ errors
