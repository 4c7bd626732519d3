"""The arithmetic of a federation one number at a time, in registers of 32 bits.

Peers of the functions of the same names in host/model/arithmetic.py, written from its words as a
chip would compute them: with plain integers, whose every intermediate value must fit. Where the
specification has a product or a sum that is too wide, these split it.
"""

import math
from collections.abc import Sequence


def register(value: int) -> int:
    """`value`, which a register of 32 bits must hold."""
    assert abs(value) < 1 << 31, f"{value} needs {value.bit_length() + 1} bits"
    return value


def clipped(value: int, limit: int) -> int:
    return max(-limit, min(limit, value))


def half_up(value: int, shift: int) -> int:
    assert 0 <= shift <= 30
    return register(value + ((1 << shift) >> 1)) >> shift


def dot(weights: Sequence[int], x: Sequence[int]) -> int:
    """A row of a matrix times its input."""
    total = 0
    for w, value in zip(weights, x, strict=True):
        total = register(total + register(w * value))
    return total


def grouped_dot(weights: Sequence[int], x: Sequence[int]) -> int:
    total = 0
    for at in range(0, len(x), 32):
        group = dot(weights[at : at + 32], x[at : at + 32])
        total = register(total + half_up(group, 2))
    return total


def rescaled(accumulator: int, multiplier: int, shift: int) -> int:
    high = register((accumulator >> 15) * multiplier)
    low = register((accumulator & 0x7FFF) * multiplier) >> 15
    return half_up(register(high + low), shift - 15)


def residual_sum(
    residual: int, accumulator: int, multiplier: int, shift: int, drop: int = 0
) -> int:
    kept = half_up(residual, drop)
    return clipped(register(kept + rescaled(accumulator, multiplier, shift)), (1 << 24) - 1)


def rms_normalized(
    residual: Sequence[int], multipliers: Sequence[int], shift: int, epsilon: int, limit: int
) -> list[int]:
    fraction = math.ceil(math.log2(len(residual)))
    drop = max(max(map(abs, residual)).bit_length() - 15, 0)
    v = [min(half_up(value, drop), 32767) for value in residual]
    total = 0
    for value in v:
        total = register(total + (register(value * value) >> fraction))
    total = max(register(total + (register(epsilon) >> min(2 * drop + fraction, 31))), 1)
    doublings = 0
    while total >= 1 << 30:
        total, doublings = total >> 2, doublings - 1
    while total < 1 << 28:
        total, doublings = total << 2, doublings + 1
    inverse = register(1 << 29) // math.isqrt(total)
    out = []
    for value, multiplier in zip(v, multipliers, strict=True):
        normalized = half_up(register(value * inverse), 15)
        scaled = half_up(register(normalized * multiplier), shift - doublings)
        out.append(clipped(scaled, limit))
    return out


def rotated(even: int, odd: int, cosine: int, sine: int, limit: int) -> tuple[int, int]:
    turned = (
        register(register(even * cosine) - register(odd * sine)),
        register(register(even * sine) + register(odd * cosine)),
    )
    return clipped(half_up(turned[0], 14), limit), clipped(half_up(turned[1], 14), limit)


def rope_table(steps: Sequence[Sequence[int]], context: int) -> list[list[tuple[int, int]]]:
    """By row, each pair's cosine and sine. Made once, with integers of any width."""
    near, far = [], []
    angles = [(1 << 30, 0) for _ in steps]
    for position in range(max(context, 32)):
        row = [((c + (1 << 15)) >> 16, (s + (1 << 15)) >> 16) for c, s in angles]
        if position < 32:
            near.append(row)
        if position % 32 == 0:
            far.append(row)
        angles = [
            ((c * x - s * y + (1 << 29)) >> 30, (c * y + s * x + (1 << 29)) >> 30)
            for (c, s), (x, y) in zip(angles, steps, strict=True)
        ]
    return near + far


def rope_row(table: list[list[tuple[int, int]]], position: int) -> list[tuple[int, int]]:
    pairs = zip(table[position & 31], table[32 + (position >> 5)], strict=True)
    return [
        (
            half_up(register(register(c * x) - register(s * y)), 14),
            half_up(register(register(c * y) + register(s * x)), 14),
        )
        for (c, s), (x, y) in pairs
    ]


def narrowed(row: Sequence[int]) -> list[int]:
    """A key or value as an int8 cache gives it back."""
    shift = 0
    while max(map(abs, row)) >> shift > 127:
        shift += 1
    return [register(min(half_up(value, shift), 127) << shift) for value in row]


def attention_weights(scores: Sequence[int], shift: int, table: Sequence[int]) -> list[int]:
    largest = max(scores)
    weights = []
    for score in scores:
        distance = register(largest - score) >> shift
        weights.append(table[distance % 512] >> (distance // 512) if distance < 8192 else 0)
    total = register(sum(weights)) - 1
    drop = 0
    while total > 32767:
        total, drop = total >> 1, drop + 1
    return [half_up(weight, drop) for weight in weights]


def weighted_mean(weights: Sequence[int], values: Sequence[int]) -> int:
    total = sum(weights)
    return register(dot(weights, values) + (total >> 1)) // total


def gated(
    gate: int, up: int, index_shift: int, shift: int, table: Sequence[int], limit: int
) -> int:
    index = max(0, min(1023, half_up(gate, index_shift) + 512))
    silu = half_up(register(gate * table[index]), 15)
    return clipped(half_up(register(silu * up), shift), limit)
