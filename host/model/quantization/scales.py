"""Scales: from float matrices, norms and ranges to int8 rows, exponents and factors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host.model.arithmetic import ACCUMULATOR_LIMIT, INT16_LIMIT, Gain, Rescale
from host.model.quantization.rounding import LARGEST, SMALLEST, Moments, round_rows
from host.model.quantized import Linear, Matrix

HEADROOM = 2.0
MAX_SHIFT = 30  # of a kernel that adds half of the divisor in 32 bits
LARGEST_FACTOR = 0.49  # of a Rescale, which must be below one half

_BLOCK = 1 << 21  # elements that are held in float64 at a time

Floats = NDArray[np.float64]


class Rows:
    """A float matrix [rows, columns] as int8 with a real scale per row.

    moments: of its inputs, where these are known (rounding.py); largest_norm: the largest sum of
    the magnitudes in a row.
    """

    def __init__(self, weight: NDArray[np.float32], moments: Moments | None = None) -> None:
        self.scale = np.empty(len(weight))
        self.weight: Matrix = np.empty(weight.shape, np.int8)
        largest = 0
        for rows in iterate_blocks(weight):
            wide = weight[rows].astype(np.float64)
            self.scale[rows] = scale = np.abs(wide).max(axis=1) / LARGEST
            scaled = wide / np.where(scale == 0, 1.0, scale)[:, None]
            integers = np.round(scaled) if moments is None else round_rows(scaled, moments)
            self.weight[rows] = integers
            largest = max(largest, int(np.abs(integers).sum(axis=1).max()))
        self.largest_norm = largest

    @property
    def largest_scale(self) -> float:
        """The largest of the rows' scales, above 0."""
        return max(float(self.scale.max()), SMALLEST)

    def input_limit(self) -> int:
        """Returns the largest input magnitude for which no accumulator passes
        ACCUMULATOR_LIMIT."""
        return min(INT16_LIMIT, ACCUMULATOR_LIMIT // max(self.largest_norm, 1))

    def highest_exponent(self, input_exponent: int) -> int:
        """Returns the finest output scale 2**-exponent whose rescaling factors stay below one
        half."""
        return input_exponent + floor_log2(LARGEST_FACTOR / self.largest_scale)

    def make_linear(self, input_exponent: int, output_unit: float) -> Linear:
        """Returns the matrix with its rescaling from inputs at 2**-input_exponent to outputs in
        units of `output_unit`."""
        return Linear(self.weight, _make_rescale(self.scale * 2.0**-input_exponent / output_unit))


def iterate_blocks(matrix: NDArray[Any]) -> Iterator[slice]:
    """Yields the rows of a matrix in blocks of bounded size."""
    rows = max(1, _BLOCK // matrix.shape[1])
    for start in range(0, len(matrix), rows):
        yield slice(start, start + rows)


def _make_rescale(factors: Floats) -> Rescale:
    """Returns multipliers and a shift for factors below one half, as highest_exponent ensures."""
    shift = min(max(14 - floor_log2(max(float(factors.max()), SMALLEST)), 16), 45)
    multiplier = np.minimum(np.round(factors * 2.0**shift), INT16_LIMIT)
    return Rescale(multiplier.astype(np.int64), shift)


def floor_log2(value: float) -> int:
    """Returns the largest n for which 2**n is at most `value`, which is above 0."""
    return math.frexp(value)[1] - 1


def choose_exponent(largest: float, limit: int, headroom: float = HEADROOM) -> int:
    """Returns the finest power-of-two scale at which headroom * largest stays within limit."""
    return floor_log2(limit / (headroom * max(float(largest), 1e-9)))


def choose_norm_exponent(weight: NDArray[np.float32], largest: float, limit: int) -> int:
    """Returns the output scale of an RMSNorm whose outputs reach `largest`."""
    return min(choose_exponent(largest, limit), highest_norm_exponent(weight))


def highest_norm_exponent(weight: NDArray[np.float32], factor: float = 1.0) -> int:
    """Returns the finest scale 2**-exponent / factor of an RMSNorm's outputs."""
    top = max(float(np.abs(_unit_gain(weight)).max()) * factor, SMALLEST)
    return floor_log2(0.99 / top)


def make_gain(weight: NDArray[np.float32], unit: float, epsilon: int) -> Gain:
    """Returns an RMSNorm's gain for outputs in units of `unit`, as highest_norm_exponent allows.

    epsilon: in squared units of the inputs, summed over them.
    """
    base = _unit_gain(weight) / unit
    shift = min(max(14 - floor_log2(max(float(np.abs(base).max()), SMALLEST)), 15), 29)
    multiplier = np.clip(np.round(base * 2.0**shift), -INT16_LIMIT, INT16_LIMIT)
    return Gain(multiplier.astype(np.int64), shift, epsilon)


def _unit_gain(weight: NDArray[np.float32]) -> Floats:
    """Returns the real multipliers of an RMSNorm whose output is in units of 1.

    output = normalized * multiplier >> (shift - doublings), see arithmetic.rms_normalize;
    there, normalized = real * 2**14 / sqrt(dim / 2**L) / 2**doublings.
    """
    dim = len(weight)
    correction = math.sqrt(dim / (1 << (dim - 1).bit_length()))
    return weight.astype(np.float64) * correction * 2.0**-14
