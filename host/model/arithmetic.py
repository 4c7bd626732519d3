"""The integer arithmetic of a cluster, primitive by primitive, in numpy.

This file and `reference.py` are the specification: a chip's kernel must give these values to the
bit. Every primitive here fits 32-bit registers with 32-bit products, which is all that a
viper kernel has; numpy's int64 only carries them. Conventions, used without exception:

* `>>` is an arithmetic shift (floor). Rounding is half-up: add half of the divisor, then shift.
* Saturation is symmetric: a value is clipped to [-limit, limit].
* Weights are int8 in [-127, 127] with one real scale per output row; or int16, in groups of 32
  columns whose sums are rounded (grouped_matvec). An activation that enters a matrix is an integer
  of at most 16 bits at a static power-of-two scale: real = integer * 2**-exponent.
* The residual stream is an integer below 2**24 at one power-of-two scale for the whole model, or
  at coarser ones from certain sums on, where its largest values need that (massive activations).

All functions take arrays of any leading shape and work on the last axis.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

INT16_LIMIT = 32767
RESIDUAL_LIMIT = (1 << 24) - 1
# Bound of a row's accumulator, so that acc * multiplier >> 15 with its rounding fits 32 bits.
ACCUMULATOR_LIMIT = 1 << 30

GROUP_COLUMNS = 32
GROUP_SHIFT = 2

_BLOCK = 1 << 17  # elements of a matrix that are multiplied at a time

EXP_FRACTION_BITS = 9
EXP_ONE = 1 << 15

SIGMOID_STEP_BITS = 6  # entries per unit: 64
SIGMOID_RANGE = 8  # the table covers [-8, 8)
SIGMOID_ONE = 1 << 15

NARROW_BITS = 7  # of the largest magnitude of a row in an int8 cache
NARROW_LIMIT = 127

ROPE_BITS = 14
ROPE_STEP_BITS = 30
ROPE_STRIDE = 32


class Rescale(NamedTuple):
    """Row-wise multiplication by a real factor below one half.

    factor[row] = multiplier[row] * 2**-shift, multiplier below 2**15, 16 <= shift <= 45.
    """

    multiplier: NDArray[np.int64]
    shift: int


class Gain(NamedTuple):
    """The elementwise weight of an RMSNorm: |multiplier| < 2**15 [dim], 15 <= shift <= 29,
    and the epsilon in squared residual units, summed over dim (below 2**30)."""

    multiplier: NDArray[np.int64]
    shift: int
    epsilon: int


def saturate(values: Ints, limit: int) -> Ints:
    """Clips values to [-limit, limit]."""
    return np.minimum(np.maximum(values, -limit), limit)  # np.clip takes four times as long


def matvec(weight: NDArray[np.int8], x: Ints) -> Ints:
    """Multiplies `weight` [rows, columns] by `x` [..., columns]: raw accumulators [..., rows].

    The result is exact: products and sums stay below 2**53, so float64 (with its fast BLAS) holds
    them. Rows are converted to float64 in blocks small enough for the processor's cache.
    """
    rows, columns = weight.shape
    if not weight.size:  # a chip that takes no part in this matrix
        return np.zeros((*x.shape[:-1], rows), np.int64)
    vectors = np.ascontiguousarray(x.reshape(-1, columns).T, np.float64)
    block = np.empty((min(rows, max(1, _BLOCK // columns)), columns))
    out = np.empty((rows, vectors.shape[1]), np.int64)
    for start in range(0, rows, len(block)):
        part = weight[start : start + len(block)]
        block[: len(part)] = part
        out[start : start + len(part)] = block[: len(part)] @ vectors
    return np.ascontiguousarray(out.T).reshape(*x.shape[:-1], rows)


def grouped_matvec(weight: NDArray[np.int16], x: Ints) -> Ints:
    """Multiplies `weight` [rows, columns], in groups of 32 columns (host/model/groups.py), by `x`
    [..., columns]; returns accumulators [..., rows].

    Each group's sum, exact, is divided by 2**GROUP_SHIFT and rounded half-up, so that accumulators
    are as large as those of int8 weights. Then they are added up: parts that consist of whole
    groups give the same total.
    """
    rows, columns = weight.shape
    if not weight.size:
        return np.zeros((*x.shape[:-1], rows), np.int64)
    groups = columns // GROUP_COLUMNS
    vectors = x.reshape(-1, groups, GROUP_COLUMNS).transpose(1, 2, 0).astype(np.float64)
    out = np.empty((rows, vectors.shape[2]), np.int64)
    count = max(1, _BLOCK // columns)
    for start in range(0, rows, count):
        part = weight[start : start + count].reshape(-1, groups, GROUP_COLUMNS)
        sums = (part.transpose(1, 0, 2).astype(np.float64) @ vectors).astype(np.int64)
        out[start : start + count] = _shift_half_up(sums, GROUP_SHIFT).sum(axis=0)
    return np.ascontiguousarray(out.T).reshape(*x.shape[:-1], rows)


def rescale(accumulator: Ints, factors: Rescale) -> Ints:
    """Returns accumulator * multiplier / 2**shift, rounded half up, for 32-bit accumulators
    [..., rows].

    A chip splits the 32 x 15 bit product: accumulator = high * 2**15 + low, and computes
    (high * m + (low * m >> 15) + 2**(shift - 16)) >> (shift - 15), which is the same integer:
    flooring the low part first changes nothing under a floor.
    """
    half = 1 << (factors.shift - 1)
    return (accumulator * factors.multiplier + half) >> factors.shift


def add_residual(residual: Ints, accumulator: Ints, factors: Rescale, drop: int = 0) -> Ints:
    """Adds a layer's summed partial results to the residual stream [..., dim].

    drop: bits, 0 to 30, by which the stream's scale is coarser from here on.
    """
    kept = _shift_half_up(residual, drop)
    return saturate(kept + rescale(accumulator, factors), RESIDUAL_LIMIT)


def rms_normalize(residual: Ints, gain: Gain, limit: int) -> Ints:
    """Normalizes the residual [..., dim] by RMSNorm, times its gain, saturated to `limit`.

    Each vector is first brought to 15 bits (`v`); squares are pre-shifted by L = ceil(log2 dim),
    so that their sum stays below 2**31; the inverse square root comes from an integer square
    root of the sum brought to [2**28, 2**30) and one division: 15 bits of it.
    """
    rows = residual.reshape(-1, residual.shape[-1])
    normalized = [_normalize_row(row, gain, limit) for row in rows]
    return np.array(normalized, np.int64).reshape(residual.shape)


def _normalize_row(row: Ints, gain: Gain, limit: int) -> Ints:
    """Normalizes one row [dim]. Values of which a row has only one are Python numbers, since these
    are the fastest."""
    log_dim = (len(row) - 1).bit_length()
    shift = max(int(np.abs(row).max()).bit_length() - 15, 0)
    v = np.minimum(_shift_half_up(row, shift), INT16_LIMIT)  # rounding up may reach 2**15
    total = int(np.add.reduce(v * v >> log_dim)) + (gain.epsilon >> (2 * shift + log_dim))
    total = max(total, 1)
    doublings = (30 - total.bit_length()) >> 1  # of the root; at least -1
    scaled = total << 2 * doublings if doublings >= 0 else total >> 2  # in [2**28, 2**30)
    normalized = _shift_half_up(v * ((1 << 29) // math.isqrt(scaled)), 15)
    return saturate(_shift_half_up(normalized * gain.multiplier, gain.shift - doublings), limit)


def rotate(pairs: Ints, cosine: Ints, sine: Ints, limit: int) -> Ints:
    """Returns pairs [..., head_dim] with adjacent elements turned by the rotary embedding,
    saturated to limit; cosine, sine: [..., head_dim / 2] in units of 2**-14."""
    even, odd = pairs[..., 0::2], pairs[..., 1::2]
    half = 1 << (ROPE_BITS - 1)
    out = np.empty_like(pairs)
    out[..., 0::2] = (even * cosine - odd * sine + half) >> ROPE_BITS
    out[..., 1::2] = (even * sine + odd * cosine + half) >> ROPE_BITS
    return saturate(out, limit)


def narrow_rows(rows: Ints) -> Ints:
    """Returns keys or values [..., head_dim] as int8 caches give them back.

    A cache keeps int8 numbers and, for each row, the least shift that brings its largest magnitude
    to 7 bits; what it gives back is number << shift.
    """
    largest = np.abs(rows).max(axis=-1, keepdims=True)
    shift = np.maximum(_bit_length(largest) - NARROW_BITS, 0)
    numbers: Ints = np.minimum(_shift_half_up(rows, shift), NARROW_LIMIT)  # it may reach 128
    return numbers << shift


def narrow_limit(limit: int) -> int:
    """Returns the largest bound up to `limit` that rows within it keep as int8 caches give them
    back: one of 7 bits and zeros."""
    shift = max(limit.bit_length() - NARROW_BITS, 0)
    return limit >> shift << shift


def rope_steps(head_dim: int, theta: float) -> Ints:
    """Returns cos and sin of each pair's angle per position, [head_dim / 2, 2] in units of 2**-30.

    The angles are theta ** (-2i / head_dim) (Su et al., RoFormer, 2021).
    """
    angles = theta ** -(np.arange(0, head_dim, 2) / head_dim)
    return np.round(np.stack([np.cos(angles), np.sin(angles)], -1) * (1 << ROPE_STEP_BITS)).astype(
        np.int64
    )


def rope_table(steps: Ints, context: int) -> Ints:
    """Returns cosine and sine of positions 0..31 and then of every 32nd below `context`.

    [32 + ceil(context / 32), head_dim / 2, 2] in units of 2**-14.

    Whole-number arithmetic, so that a chip with single-precision floats makes the very same
    table: each position is the one before, rotated by the step in 30-bit fixed point, half-up.
    The error after 10,000 positions is below 2**-16.
    """
    cosine = np.full(len(steps), 1 << ROPE_STEP_BITS, np.int64)
    sine = np.zeros(len(steps), np.int64)
    half = 1 << (ROPE_STEP_BITS - 1)
    near, far = [], []
    for position in range(max(context, ROPE_STRIDE)):
        entry = _shift_half_up(np.stack([cosine, sine], -1), ROPE_STEP_BITS - ROPE_BITS)
        if position < ROPE_STRIDE:
            near.append(entry)
        if position % ROPE_STRIDE == 0:
            far.append(entry)
        cosine, sine = (
            (cosine * steps[:, 0] - sine * steps[:, 1] + half) >> ROPE_STEP_BITS,
            (cosine * steps[:, 1] + sine * steps[:, 0] + half) >> ROPE_STEP_BITS,
        )
    return np.array(near + far)


def rope_row(table: Ints, position: int) -> tuple[Ints, Ints]:
    """Returns cosine and sine [head_dim / 2] at `position`, in units of 2**-14: two entries of the
    table, one rotated by the other. So a table for a context of 4,096 positions has 160 rows."""
    c, s = table[position % ROPE_STRIDE].T
    far_c, far_s = table[ROPE_STRIDE + position // ROPE_STRIDE].T
    half = 1 << (ROPE_BITS - 1)
    return (c * far_c - s * far_s + half) >> ROPE_BITS, (c * far_s + s * far_c + half) >> ROPE_BITS


@functools.cache
def exp_table() -> Ints:
    """Returns 2**(-i / 512) in units of 2**-15, for i in 0..511."""
    table = np.round(EXP_ONE * 2.0 ** -(np.arange(1 << EXP_FRACTION_BITS) / 512)).astype(np.int64)
    table.flags.writeable = False  # all callers share it
    return table


def attention_weights(scores: Ints, shift: int, table: Ints) -> Ints:
    """Returns unnormalized softmax weights of scores [..., positions]; score units are base-2
    exponents: weight = 2**((score - max) / 2**(shift + 9)).

    Each is at most 2**15. They are then shifted right by as much as brings their sum to about
    2**15, so that the weighted sum of 16-bit values fits 32 bits; `weighted_mean` divides by the
    exact sum of the shifted weights, so that they still add up to one.
    """
    distance = (scores.max(axis=-1, keepdims=True) - scores) >> shift
    weights = table[distance & (len(table) - 1)] >> np.minimum(distance >> EXP_FRACTION_BITS, 16)
    total = weights.sum(axis=-1, keepdims=True)
    return _shift_half_up(weights, np.maximum(_bit_length(total - 1) - 15, 0))


def weighted_mean(weights: Ints, values: Ints) -> Ints:
    """Returns the mean of values [..., positions, head_dim] under weights [..., positions],
    half-up."""
    total = weights.sum(axis=-1)[..., None]
    summed = (weights[..., None, :] @ values)[..., 0, :]
    return (summed + (total >> 1)) // total


@functools.cache
def sigmoid_table() -> Ints:
    """Returns the logistic function at (i - 512) / 64 in units of 2**-15, for i in 0..1023.

    The ends, which are used for all values beyond, are exactly 0 and 1: any other number there
    would make SiLU's error grow with its argument.
    """
    z = np.arange(-SIGMOID_RANGE, SIGMOID_RANGE, 1 / (1 << SIGMOID_STEP_BITS))
    table = np.round(SIGMOID_ONE / (1 + np.exp(-z))).astype(np.int64)
    table[0], table[-1] = 0, SIGMOID_ONE
    table.flags.writeable = False
    return table


def swiglu(gate: Ints, up: Ints, index_shift: int, shift: int, table: Ints, limit: int) -> Ints:
    """Returns SiLU(gate) * up for integers of 16 bits, rescaled by 2**-shift and saturated.

    SiLU(z) = z * sigmoid(z), the sigmoid from the table at gate / 2**index_shift rounded half-up.
    """
    index = np.clip(_shift_half_up(gate, index_shift) + len(table) // 2, 0, len(table) - 1)
    silu = _shift_half_up(gate * table[index], 15)
    return saturate(_shift_half_up(silu * up, shift), limit)


def _shift_half_up(values: Ints, shift: Ints | int) -> Ints:
    """Returns values / 2**shift rounded half-up, elementwise; shift 0 gives values."""
    return (values + ((1 << shift) >> 1)) >> shift


def _bit_length(values: Ints) -> Ints:
    """Returns the bits of each non-negative integer below 2**53; 0 has none."""
    exponents: Ints = np.frexp(values)[1].astype(np.int64)
    return exponents
