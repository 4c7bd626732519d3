"""Runs every kernel on random numbers, and compares the results with the specification.

A case fills an emulated module's memory, calls one kernel as firmware/ does, and returns its
number of multiply-accumulates or elements. It raises WrongResult if the numbers differ from
host/model/arithmetic.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from bench.emulation.module import EmulatedModule
from host.build.group_kernels import group_kernel_name, stored_groups
from host.build.kernels import column_blocks
from host.build.pass_kernels import pass_name
from host.build.shard import stored_matrix
from host.model import arithmetic
from host.model.arithmetic import INT16_LIMIT, Ints, Rescale
from host.model.groups import COLUMNS, LEVELS, MOST_LEAST, MOST_STEP, unpack
from protocol.shard_layout import VECTORS

_VALUE_ZERO = 1 << 15  # what a KV cache adds to its values
_HEADS = 8  # in one call, as on one chip with stories260K
_GATE_SHIFTS = 4, 13
_RESCALE_SHIFT = 24
_LIMIT = 8191
_TYPICAL = 4096


class WrongResult(Exception):
    """A kernel does not compute what the specification says; the message names it."""


class Case(NamedTuple):
    """One kernel at one shape. `run` returns the work done, in units of `unit`."""

    kernel: str
    shape: str
    unit: str
    run: Callable[[EmulatedModule], int]


def matvec(rows: int, columns: int) -> Case:
    """Returns the case of a matrix-vector product, in the blocks of columns in which shards store
    matrices."""
    return Case("matvec", f"{rows}x{columns}", "MAC", partial(_matvec, rows, columns))


def grouped(rows: int, columns: int) -> Case:
    """Returns the case of a matrix-vector product with weights in groups of four bits."""
    return Case("grouped", f"{rows}x{columns}", "MAC", partial(_grouped, rows, columns))


def matmul(rows: int, columns: int, count: int) -> Case:
    """Returns the case of a matrix and several positions' inputs in one pass, with the work
    counted per position. Only machine code does that."""
    shape = f"{rows}x{columns}x{count}"
    return Case("matmul", shape, "MAC", partial(_matmul, rows, columns, count))


def attention(head_dim: int, positions: int) -> list[Case]:
    """Returns cases for the parts of attention over so many positions, in order.

    `run` of each is for a kernel that stops after that part, and so includes the parts before it.
    """
    shape = f"{positions}x{head_dim}"

    def case(part: str, shape: str, unit: str) -> Case:
        return Case(part, shape, unit, partial(_attend, head_dim, positions, part))

    return [
        case("scores", shape, "MAC"),
        case("softmax", f"{positions}", "element"),
        case("mean", shape, "MAC"),
    ]


def elementwise(count: int, head_dim: int) -> list[Case]:
    """Returns the cases of kernels over vectors, of about `count` elements, in heads where they
    have heads."""
    heads = count // head_dim
    whole = f"{heads * head_dim}"
    return [
        Case("gate", f"{count}", "element", partial(_gate, count)),
        Case("rescale", f"{count}", "element", partial(_rescale, count)),
        Case("rotate", whole, "element", partial(_rotate, heads, head_dim)),
        Case("rope_row", f"{head_dim}", "element", partial(_rope_row, head_dim)),
        Case("cache_rows", f"2x{whole}", "element", partial(_cache_rows, heads, head_dim)),
        Case("load_int16s", f"{count}", "element", partial(_load_int16s, count)),
        Case("store_int16s", f"{count}", "element", partial(_store_int16s, count)),
    ]


def _numbers(seed: int) -> Generator:
    return np.random.default_rng(seed)


def _check(name: str, got: Ints, expected: Ints) -> None:
    wrong = np.flatnonzero(got != expected)
    if wrong.size:
        at = int(wrong[0])
        raise WrongResult(f"{name}: element {at} is {got[at]}, not {expected[at]}")


def _matvec(rows: int, columns: int, module: EmulatedModule) -> int:
    numbers = _numbers(rows * columns)
    weight = numbers.integers(-127, 128, (rows, columns), np.int8)
    x = numbers.integers(-INT16_LIMIT, INT16_LIMIT + 1, columns)
    blocks = column_blocks(columns) if module.padding == 1 else [(0, columns)]
    w, inputs = module.placed(stored_matrix(weight, module.padding)), module.placed(x)
    y = module.placed(numbers.integers(-1000, 1000, rows))
    for first, count in blocks:
        name = f"matvec_add_{count}" if first else f"matvec_{count}"
        module.call(name, w, 0, y, inputs + 4 * first, rows, first * rows)
    _check("matvec", module.int32s(y, rows), arithmetic.matvec(weight, x))
    return rows * columns


def _grouped(rows: int, columns: int, module: EmulatedModule) -> int:
    numbers = _numbers(rows + columns)
    groups = rows, columns // COLUMNS
    weight = unpack(
        numbers.integers(0, LEVELS, (rows, columns)),
        numbers.integers(0, MOST_STEP + 1, groups),
        numbers.integers(-MOST_LEAST, 1, groups),
    )
    x = numbers.integers(-INT16_LIMIT, INT16_LIMIT + 1, columns)
    w, inputs = module.placed(stored_groups(weight)), module.placed(x)
    y = module.placed(numbers.integers(-1000, 1000, rows))
    module.call(group_kernel_name(columns), w, 0, y, inputs, rows, 0)
    _check("grouped", module.int32s(y, rows), arithmetic.grouped_matvec(weight, x))
    return rows * columns


def _matmul(rows: int, columns: int, count: int, module: EmulatedModule) -> int:
    numbers = _numbers(rows * columns + count)
    weight = numbers.integers(-127, 128, (rows, columns), np.int8)
    apart = columns + -columns % VECTORS
    x = numbers.integers(-INT16_LIMIT, INT16_LIMIT + 1, (count, apart))
    blocks = column_blocks(columns) if module.padding == 1 else [(0, columns)]
    w, inputs = module.placed(stored_matrix(weight, module.padding)), module.placed(x)
    y = module.placed(numbers.integers(-1000, 1000, count * rows))
    for first, wide in blocks:
        name = pass_name(wide, first > 0)
        places = w, count, y, inputs + 4 * first, rows, first * rows
        module.call(name, *places, 4 * rows, 4 * apart)
    expected = [arithmetic.matvec(weight, row[:columns]) for row in x]
    _check("matmul", module.int32s(y, count * rows), np.concatenate(expected))
    return count * rows * columns


def _attend(head_dim: int, positions: int, part: str, module: EmulatedModule) -> int:
    """Returns all parts up to `part`, for heads that share their keys and values."""
    numbers = _numbers(head_dim + positions)
    keys = numbers.integers(-_LIMIT, _LIMIT + 1, (positions, head_dim))
    q = numbers.integers(-_LIMIT, _LIMIT + 1, (_HEADS, head_dim))
    values = numbers.integers(-INT16_LIMIT, INT16_LIMIT + 1, (positions, head_dim))
    table, shift = arithmetic.exp_table(), _score_shift(head_dim)
    buffer, out = module.placed(np.zeros(positions)), module.placed(np.zeros(q.size))
    module.call(
        "attend", 0, 0, module.placed(keys + _LIMIT + 1, "<u2"),
        module.placed(values + _VALUE_ZERO, "<u2"), module.placed(np.zeros(_HEADS)), _HEADS,
        module.placed(q), out, buffer, module.placed(table, "<u2"), positions, shift,
    )  # fmt: skip
    scores = q @ keys.T
    last = module.int32s(buffer, positions)
    if part == "scores":
        _check(part, last, scores[-1] + (_LIMIT + 1) * q[-1].sum())
        return scores.size * head_dim
    if part == "softmax":
        if module.padding != 1:  # those kernels have no weights but what means are made with
            last = np.frombuffer(module.bytes(buffer, 2 * positions), "<u2").astype(np.int64)
        distance = (scores[-1].max() - scores[-1]) >> shift
        _check(part, last, table[distance & 511] >> np.minimum(distance >> 9, 16))
        return scores.size
    weights = arithmetic.attention_weights(scores, shift, table)
    means = arithmetic.weighted_mean(weights, values)
    _check(part, module.int32s(out, q.size), means.reshape(-1))
    return scores.size * head_dim


def _score_shift(head_dim: int) -> int:
    """Returns the shift for scores of random queries and keys, with which most positions have some
    weight."""
    deviation = _LIMIT**2 / 3 * head_dim**0.5
    return int(np.log2(deviation / 2)) - arithmetic.EXP_FRACTION_BITS


def _gate(count: int, module: EmulatedModule) -> int:
    # As in a model's text: few results saturate, few gates are beyond the table.
    gate, up = _numbers(count).integers(-_TYPICAL, _TYPICAL, (2, count))
    table, out = arithmetic.sigmoid_table(), module.placed(gate)
    module.call("gate", out, 0, module.placed(up), module.placed(table, "<u2"), count,
                *_GATE_SHIFTS, _LIMIT)  # fmt: skip
    expected = arithmetic.swiglu(gate, up, *_GATE_SHIFTS, table, _LIMIT)
    _check("gate", module.int32s(out, count), expected)
    return count


def _rescale(count: int, module: EmulatedModule) -> int:
    numbers = _numbers(count)
    sums = numbers.integers(-_TYPICAL << 10, _TYPICAL << 10, count)
    by = Rescale(numbers.integers(0, 1 << 15, count), _RESCALE_SHIFT)
    out, multipliers = module.placed(sums), module.placed(by.multiplier, "<u2")
    parts = module.placed(np.array([count, by.shift, _LIMIT]))
    module.call("rescale", out, 0, multipliers, 0, parts, 1)
    expected = arithmetic.saturate(arithmetic.rescale(sums, by), _LIMIT)
    _check("rescale", module.int32s(out, count), expected)
    return count


def _rotate(heads: int, head_dim: int, module: EmulatedModule) -> int:
    numbers = _numbers(heads)
    x = numbers.integers(-_LIMIT, _LIMIT + 1, (heads, head_dim))
    angles = numbers.uniform(0, 6, head_dim // 2)
    rows = np.round(np.stack([np.cos(angles), np.sin(angles)], -1) * (1 << 14)).astype(np.int64)
    out, table = module.placed(x), module.placed(rows)
    parts = module.placed(np.array([x.size, 0, _LIMIT]))
    module.call("rotate", out, 0, table, head_dim // 2, parts, 1)
    expected = arithmetic.rotate(x, rows[:, 0], rows[:, 1], _LIMIT)
    _check("rotate", module.int32s(out, x.size), expected.reshape(-1))
    return x.size


def _rope_row(head_dim: int, module: EmulatedModule) -> int:
    table = arithmetic.rope_table(arithmetic.rope_steps(head_dim, 10000.0), 256)
    position, out = 200, module.placed(np.zeros(head_dim))
    stored = module.placed(table + (1 << 14), "<u2")
    module.call("rope_row", stored, 0, position, out, head_dim // 2)
    expected = np.stack(arithmetic.rope_row(table, position), -1).reshape(-1)
    _check("rope_row", module.int32s(out, head_dim), expected)
    return head_dim


def _cache_rows(heads: int, head_dim: int, module: EmulatedModule) -> int:
    x = _numbers(head_dim).integers(-_LIMIT, _LIMIT + 1, (2, heads, head_dim))
    context, row = 5, 3
    caches = [module.placed(bytes(context * x.size)) for _ in x]
    module.call("cache_rows", module.placed(x), *caches, row, heads, head_dim, context, _LIMIT + 1)
    for part, cache, zero in zip(x, caches, (_LIMIT + 1, _VALUE_ZERO), strict=True):
        stored = np.frombuffer(module.bytes(cache, context * x.size), "<u2").astype(np.int64)
        expected = np.zeros((heads, context, head_dim), np.int64)
        expected[:, row] = part + zero
        _check("cache_rows", stored, expected.reshape(-1))
    return x.size


def _load_int16s(count: int, module: EmulatedModule) -> int:
    x = _numbers(count).integers(-INT16_LIMIT, INT16_LIMIT + 1, count)
    frame, out = module.placed(bytes(15) + x.astype("<i2").tobytes()), module.placed(x * 0)
    module.call("load_int16s", frame, 0, 15, out, count)
    _check("load_int16s", module.int32s(out, count), x)
    return count


def _store_int16s(count: int, module: EmulatedModule) -> int:
    x = _numbers(count).integers(-INT16_LIMIT, INT16_LIMIT + 1, count)
    frame = module.placed(bytes(20 + 2 * count))
    module.call("store_int16s", module.placed(x), 0, 20, frame, count)
    stored = np.frombuffer(module.bytes(frame + 20, 2 * count), "<i2")
    _check("store_int16s", stored.astype(np.int64), x)
    return count
