"""Scales: from float matrices, norms and ranges to int8 rows, exponents and factors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from host.model.arithmetic import ACCUMULATOR_LIMIT, INT16_LIMIT, Gain, Rescale
from host.model.quantized import Linear

HEADROOM = 2.0
MAX_SHIFT = 30  # of a kernel that adds half of the divisor in 32 bits
LARGEST_FACTOR = 0.49  # of a Rescale, which must be below one half
SMALLEST = 1e-30  # stands for 0 where a logarithm is taken

Floats = NDArray[np.float64]


class Rows:
    """A float matrix [rows, columns] as int8 with a real scale per row."""

    def __init__(self, weight: NDArray[np.float32]) -> None:
        wide = weight.astype(np.float64)
        self.scale = np.abs(wide).max(axis=1) / 127
        safe = np.where(self.scale == 0, 1.0, self.scale)
        self.weight = np.round(wide / safe[:, None]).astype(np.int8)

    @property
    def largest_scale(self) -> float:
        """The largest of the rows' scales, above 0."""
        return max(float(self.scale.max()), SMALLEST)

    def input_limit(self) -> int:
        """Returns the largest input magnitude for which no accumulator passes
        ACCUMULATOR_LIMIT."""
        return min(INT16_LIMIT, ACCUMULATOR_LIMIT // max(self.largest_norm, 1))

    @property
    def largest_norm(self) -> int:
        """The largest sum of the magnitudes in a row."""
        return int(np.abs(self.weight.astype(np.int64)).sum(axis=1).max())

    def highest_exponent(self, input_exponent: int) -> int:
        """Returns the finest output scale 2**-exponent whose rescaling factors stay below one
        half."""
        return input_exponent + floor_log2(LARGEST_FACTOR / self.largest_scale)

    def make_linear(self, input_exponent: int, output_unit: float) -> Linear:
        """Returns the matrix with its rescaling from inputs at 2**-input_exponent to outputs in
        units of `output_unit`."""
        return Linear(self.weight, _make_rescale(self.scale * 2.0**-input_exponent / output_unit))


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
    top = max(float(np.abs(_unit_gain(weight)).max()), SMALLEST)
    return min(choose_exponent(largest, limit), floor_log2(0.99 / top))


def make_gain(weight: NDArray[np.float32], exponent: int, epsilon: int) -> Gain:
    """Returns an RMSNorm's gain for outputs at 2**-exponent, as choose_norm_exponent gives it.

    epsilon: in squared units of the residual stream, summed over dim.
    """
    base = _unit_gain(weight) * 2.0**exponent
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
