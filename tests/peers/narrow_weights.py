"""Weights of fewer than 8 bits, rounded for their inputs: what they would cost a model.

No chip computes with these. They are floats that lie on the grid that narrow integers would have,
so that the cost is known before there are kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from host.model.checkpoint import FloatArray
from host.model.float_weights import FloatWeights, LayerWeights
from host.model.quantization.rounding import Moments

Floats = NDArray[np.float32]
GROUP = 32  # columns of a row that share a step
_BLOCK = 64  # columns after whose rounding those behind them are brought up to date
_CLIPS = (1.0, 0.92, 0.84, 0.76, 0.68)  # of the largest magnitude, where a grid may end
_UNITS = 24  # that are tried for a row


@dataclass(frozen=True)
class Grid:
    """Of each weight the values low + step * q, for whole q in 0..top; arrays [rows, columns]."""

    step: Floats
    low: Floats
    top: int

    def nearest(self, weight: Floats, at: slice | int = slice(None)) -> Floats:
        """Returns what is nearest to `weight`, of the columns `at`."""
        step, low = self.step[:, at], self.low[:, at]
        return np.asarray(low + step * np.clip(np.round((weight - low) / step), 0, self.top))


MakeGrid = Callable[[FloatArray], Grid]


def rows_of(bits: int) -> MakeGrid:
    """A step for each row, as int8 has it, but with the end of the grid that errs least."""

    def make(weight: FloatArray) -> Grid:
        most = 2 ** (bits - 1) - 1
        largest = np.abs(weight).max(axis=1, keepdims=True)
        return _best_of_clips(weight, largest / most, most)

    return make


def groups_of(bits: int, multiplier_bits: int = 4) -> MakeGrid:
    """A step for each group: a whole multiple of the row's unit, in so many bits."""

    def make(weight: FloatArray) -> Grid:
        most = 2 ** (bits - 1) - 1
        edges = np.arange(0, weight.shape[1], GROUP)
        largest = np.maximum.reduceat(np.abs(weight), edges, axis=1)
        full = np.repeat(largest, GROUP, axis=1)[:, : weight.shape[1]] / most
        unit = full.max(axis=1, keepdims=True) / (2**multiplier_bits - 1)
        return _best_of_clips(weight, full, most, unit)

    return make


def file_groups(largest: int) -> MakeGrid:
    """The 16 values that each group has in a Q4_1 file, as multiple * q + least in units of its
    row, about none of which is beyond `largest`: multiples and least values are whole."""

    def make(weight: FloatArray) -> Grid:
        groups = np.sort(weight.reshape(len(weight), -1, GROUP), axis=-1).astype(np.float64)
        low, high = groups[..., 0], groups[..., -1]
        gaps = np.diff(groups, axis=-1)
        gaps[gaps <= (high - low)[..., None] * 1e-3] = np.inf
        steps = np.round((high - low) / gaps.min(axis=-1))
        # Of groups that are not from such a file, 16 values from end to end.
        steps = np.where((steps >= 1) & (steps <= 15), steps, 15)
        step, middle = np.maximum((high - low) / steps, 1e-12), (low + high) / 2
        most = (largest + 1) // 8 - 1  # multiples with 4 bits less than least values have
        ends = np.maximum(np.abs(low), np.abs(high)).max(axis=1)
        base = np.maximum(step.max(axis=1) / most, ends / largest)
        least_error = np.full((len(weight), 1), np.inf)
        found_step, found_low = np.empty_like(step), np.empty_like(step)
        for trial in range(_UNITS):
            unit = (base * (1 + trial / (2 * _UNITS)))[:, None]
            multiple = np.clip(np.round(step / unit), 1, most)
            least = np.round(middle / unit - multiple * steps / 2)
            least = np.clip(least, -largest, largest)
            wrong, shifted = multiple * unit - step, (least + multiple * steps / 2) * unit - middle
            errors = shifted**2 + wrong**2 * steps * (steps + 2) / 12
            error = errors.sum(axis=1, keepdims=True)
            better = error < least_error
            least_error = np.where(better, error, least_error)
            found_step = np.where(better, multiple * unit, found_step)
            found_low = np.where(better, least * unit, found_low)
        spread = (np.repeat(a, GROUP, 1).astype(np.float32) for a in (found_step, found_low))
        return Grid(*spread, top=15)

    return make


def _best_of_clips(
    weight: FloatArray, full: FloatArray, most: int, unit: FloatArray | None = None
) -> Grid:
    """Returns of each step in `full` the part that errs least, a whole multiple of `unit`."""
    shared = np.arange(0, weight.shape[1], GROUP if unit is not None else weight.shape[1])
    least, chosen = None, None
    for clip in _CLIPS:
        step = np.broadcast_to(np.maximum(full * clip, 1e-12), weight.shape)
        if unit is not None:
            whole = np.maximum(unit, 1e-12)
            step = np.maximum(np.round(step / whole), 1) * whole
        wrong = np.clip(np.round(weight / step), -most, most) * step - weight
        sums = np.add.reduceat(wrong * wrong, shared, axis=1)
        error = np.repeat(sums, np.diff([*shared, weight.shape[1]]), axis=1)
        if least is None or chosen is None:
            least, chosen = error, step
        least, chosen = np.minimum(least, error), np.where(error < least, step, chosen)
    assert chosen is not None
    step = chosen.astype(np.float32)
    return Grid(step, -most * step, 2 * most)


def round_for_inputs(weight: FloatArray, moments: Moments, grid: Grid) -> FloatArray:
    """Returns `weight` [rows, columns] on its grid, as rounding.py rounds it to whole numbers."""
    rounded = np.empty(weight.shape, np.float32)
    for columns, order, factor in moments.factors():
        places = np.arange(weight.shape[1])[columns][order]
        factor = factor.astype(np.float32)
        left = np.ascontiguousarray(weight.T[places], np.float32)
        part = Grid(grid.step[:, places], grid.low[:, places], grid.top)
        for start in range(0, len(left), _BLOCK):
            end = min(start + _BLOCK, len(left))
            errors = np.empty((end - start, left.shape[1]), np.float32)
            for place in range(start, end):
                on_grid = part.nearest(left[place], place)
                errors[place - start] = (left[place] - on_grid) / factor[place, place]
                left[place] = on_grid
                left[place + 1 : end] -= np.outer(
                    factor[place, place + 1 : end], errors[place - start]
                )
            left[end:] -= factor[start:end, end:].T @ errors
        rounded[:, places] = left.T
    return rounded


class Replaced:
    """Weights of `source`, of which some matrices are others."""

    shared_classifier = False

    def __init__(
        self,
        source: FloatWeights,
        layers: list[Mapping[str, FloatArray]],
        classifier: FloatArray | None,
    ) -> None:
        self.config, self._source, self._layers = source.config, source, layers
        self.embedding, self.final_norm = source.embedding, source.final_norm
        self.classifier = source.classifier if classifier is None else classifier

    def layer(self, index: int) -> LayerWeights:
        """Returns the weights of a layer, by their names. Raises ModelError."""
        return {**self._source.layer(index), **self._layers[index]}

    def digest(self) -> bytes:
        """Returns what no other model shares."""
        return f"{id(self)}".encode()
