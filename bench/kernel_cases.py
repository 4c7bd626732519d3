"""Every kernel at work on random numbers, checked against the specification in the same run.

A case fills an emulated module's memory, calls one kernel as firmware/ does, and returns how
many multiply-accumulates or elements that was. It raises WrongResult where the numbers differ
from host/model/arithmetic.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from bench.emulation.module import EmulatedModule
from host.deploy.kernels import column_blocks
from host.model import arithmetic
from host.model.arithmetic import INT16_LIMIT, Ints, Rescale

_CACHE_ZERO = 1 << 15  # what a KV cache adds to its values
_WEIGHT_ZERO = 128
_SCORE_SHIFT = 11  # the home model's: weights from 1 to 2**-15 within some 2**25 of score
_GATE_SHIFTS = 4, 13
_RESCALE_SHIFT = 24
_LIMIT = 8191
_TYPICAL = 4096


class WrongResult(Exception):
    """A kernel that does not compute what the specification says; the message says which."""


class Case(NamedTuple):
    """One kernel at one shape. `run` returns the work done, in `unit`s."""

    kernel: str
    shape: str
    unit: str
    run: Callable[[EmulatedModule], int]


def matvec(rows: int, columns: int) -> Case:
    """A matrix-vector product, in the blocks of columns in which shards hold matrices."""
    return Case("matvec", f"{rows}x{columns}", "MAC", partial(_matvec, rows, columns))


def attention(head_dim: int, positions: int) -> list[Case]:
    """One head's scores, softmax and mean over so many positions."""
    shape = f"{positions}x{head_dim}"
    return [
        Case("scores", shape, "MAC", partial(_scores, head_dim, positions)),
        Case("softmax", f"{positions}", "element", partial(_softmax, positions)),
        Case("mean", shape, "MAC", partial(_mean, head_dim, positions)),
    ]


def elementwise(count: int, head_dim: int) -> list[Case]:
    """The kernels that go over vectors: `count` elements or so, in heads where they are."""
    heads = count // head_dim
    whole = f"{heads * head_dim}"
    return [
        Case("gate", f"{count}", "element", partial(_gate, count)),
        Case("rescale", f"{count}", "element", partial(_rescale, count)),
        Case("rotate", whole, "element", partial(_rotate, heads, head_dim)),
        Case("rope_row", f"{head_dim}", "element", partial(_rope_row, head_dim)),
        Case("cache_row", f"{head_dim}", "element", partial(_cache_row, head_dim)),
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
    weight = numbers.integers(-127, 128, (rows, columns))
    x = numbers.integers(-INT16_LIMIT, INT16_LIMIT + 1, columns)
    blocks = column_blocks(columns)
    stored = b"".join(
        (weight[:, first : first + count] + _WEIGHT_ZERO).astype(np.uint8).tobytes()
        for first, count in blocks
    )
    w, inputs = module.placed(stored), module.placed(x)
    y = module.placed(numbers.integers(-1000, 1000, rows))
    for first, count in blocks:
        name = f"matvec_add_{count}" if first else f"matvec_{count}"
        module.call(name, w, 0, y, inputs + 4 * first, rows, first * rows)
    _check("matvec", module.int32s(y, rows), arithmetic.matvec(weight.astype(np.int8), x))
    return rows * columns


def _scores(head_dim: int, positions: int, module: EmulatedModule) -> int:
    numbers = _numbers(head_dim + positions)
    keys = numbers.integers(-_LIMIT, _LIMIT + 1, (positions, head_dim))
    q = numbers.integers(-_LIMIT, _LIMIT + 1, head_dim)
    cache, out = module.placed(keys + _CACHE_ZERO, "<u2"), module.placed(np.zeros(positions))
    largest = module.call("scores", cache, 0, out, module.placed(q), positions, 0)
    _check("scores", np.append(module.int32s(out, positions), largest),
           np.append(keys @ q, (keys @ q).max()))  # fmt: skip
    return positions * head_dim


def _softmax_weights(positions: int) -> tuple[Ints, Ints]:
    """Scores of which most have some weight, and their weights before any shift."""
    scores = _numbers(positions).integers(0, 7 << _SCORE_SHIFT + 9, positions)
    table = arithmetic.exp_table()
    distance = (scores.max() - scores) >> _SCORE_SHIFT
    return scores, table[distance & 511] >> np.minimum(distance >> 9, 16)


def _softmax(positions: int, module: EmulatedModule) -> int:
    scores, weights = _softmax_weights(positions)
    out, table = module.placed(scores), module.placed(arithmetic.exp_table(), "<u2")
    total = module.call(
        "exponentials", out, 0, table, int(scores.max()), positions, _SCORE_SHIFT
    )  # fmt: skip
    _check("softmax", np.append(module.int32s(out, positions), total),
           np.append(weights, weights.sum()))  # fmt: skip
    return positions


def _mean(head_dim: int, positions: int, module: EmulatedModule) -> int:
    scores, weights = _softmax_weights(positions)
    values = _numbers(positions).integers(-INT16_LIMIT, INT16_LIMIT + 1, (positions, head_dim))
    cache, out = module.placed(values + _CACHE_ZERO, "<u2"), module.placed(np.zeros(head_dim))
    total = int(weights.sum())
    module.call("mean", cache, 0, module.placed(weights), out, positions, total, 0)
    shifted = arithmetic.attention_weights(scores, _SCORE_SHIFT, arithmetic.exp_table())
    _check("mean", module.int32s(out, head_dim), arithmetic.weighted_mean(shifted, values))
    return positions * head_dim


def _gate(count: int, module: EmulatedModule) -> int:
    # As in a model's text: few results saturate, few gates are beyond the table.
    gate, up = _numbers(count).integers(-_TYPICAL, _TYPICAL, (2, count))
    table, out = arithmetic.sigmoid_table(), module.placed(gate)
    module.call("gate", out, 0, module.placed(up), module.placed(table, "<u2"), count,
                *_GATE_SHIFTS, _LIMIT)  # fmt: skip
    expected = arithmetic.gated(gate, up, *_GATE_SHIFTS, table, _LIMIT)
    _check("gate", module.int32s(out, count), expected)
    return count


def _rescale(count: int, module: EmulatedModule) -> int:
    numbers = _numbers(count)
    sums = numbers.integers(-_TYPICAL << 10, _TYPICAL << 10, count)
    by = Rescale(numbers.integers(0, 1 << 15, count), _RESCALE_SHIFT)
    out, multipliers = module.placed(sums), module.placed(by.multiplier, "<u2")
    module.call("rescale", out, 0, multipliers, 0, count, by.shift, _LIMIT)
    expected = arithmetic.saturated(arithmetic.rescaled(sums, by), _LIMIT)
    _check("rescale", module.int32s(out, count), expected)
    return count


def _rotate(heads: int, head_dim: int, module: EmulatedModule) -> int:
    numbers = _numbers(heads)
    x = numbers.integers(-_LIMIT, _LIMIT + 1, (heads, head_dim))
    angles = numbers.uniform(0, 6, head_dim // 2)
    rows = np.round(np.stack([np.cos(angles), np.sin(angles)], -1) * (1 << 14)).astype(np.int64)
    out, table = module.placed(x), module.placed(rows)
    module.call("rotate", out, 0, table, head_dim // 2, heads, _LIMIT)
    expected = arithmetic.rotated(x, rows[:, 0], rows[:, 1], _LIMIT)
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


def _cache_row(head_dim: int, module: EmulatedModule) -> int:
    x = _numbers(head_dim).integers(-INT16_LIMIT, INT16_LIMIT + 1, head_dim)
    cache = module.placed(bytes(8 * head_dim))
    module.call("cache_row", module.placed(x), cache, 3, head_dim)
    row = np.frombuffer(module.bytes(cache + 6 * head_dim, 2 * head_dim), "<u2")
    _check("cache_row", row.astype(np.int64), x + _CACHE_ZERO)
    return head_dim


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
