"""The rope table's rotations by halves, against integers of any size."""

import math
import random

from firmware.compute.rope import rope_table, rotate
from tests.firmware.plain import read_u16
from tests.firmware.samples import between
from tests.firmware.tiny import turn

ONE = 1 << 30


def exact(c, s, a, b):
    half = 1 << 29
    return c * a - s * b + half >> 30, c * b + s * a + half >> 30


def unit(angle):
    return round(math.cos(angle) * ONE), round(math.sin(angle) * ONE)


def test_rotations_are_exact():
    random.seed(1)
    corners = [(ONE, 0), (0, ONE), (-ONE, 0), (0, -ONE)]
    corners += [unit(math.pi / 4 * odd) for odd in (1, 3, 5, 7)]
    # Whose halves are the greatest, or change sign.
    corners += [(x, y) for x in (16383, 16384, -16384, -16385) for y in (ONE - 1, -ONE)]
    some = corners + [unit(between(0, 1 << 20) * 2e-5) for _ in range(200)]
    for first in some:
        for step in corners + [some[between(0, len(some) - 1)]]:
            assert rotate(*first, step, 1) == exact(*first, *step), (first, step)


def test_many_rotations_are_one_after_another():
    random.seed(2)
    for _ in range(20):
        step = unit(between(1, 1 << 20) * 2e-6)
        state = ONE, 0
        for count in range(33):
            assert rotate(ONE, 0, step, count) == state
            state = exact(*state, *step)
        assert rotate(*state, step, 0) == state


def test_the_table_of_a_long_context():
    steps = [unit(1.0), unit(1e-4)]
    table = rope_table({"context": 8192, "head_dim": 4}, steps)
    assert len(table) == (32 + 256) * 2 * 4
    for row, position in ((0, 0), (31, 31), (32, 0), (33, 32), (32 + 128, 4096), (287, 8160)):
        for pair, step in enumerate(steps):
            at = 2 * (2 * row + pair)
            found = read_u16(table, at) - 16384, read_u16(table, at + 1) - 16384
            assert found == turn(step, position)
