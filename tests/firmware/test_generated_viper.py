"""The generated kernels, bit for bit against plain Python; tests/deployed.py makes them.

MicroPython alone runs these.
"""

import random

from deployed import (
    head_2,
    head_4,
    head_6,
    head_8,
    head_16,
    head_32,
    head_48,
    head_64,
    matrices,
)

from tests.firmware.plain import EXP_TABLE, PlainKernels, u16_buffer
from tests.firmware.samples import Guarded, between, mixed
from tests.protocol.noise import random_bytes

HEADS = {
    2: head_2, 4: head_4, 6: head_6, 8: head_8, 16: head_16, 32: head_32, 48: head_48, 64: head_64,
}  # fmt: skip
EXP = u16_buffer(EXP_TABLE)
POSITIONS = (1, 2, 31, 200, 512)


def product(columns, w, x, rows, at, before):
    """W x by the blocks of a generated matrix, over a buffer that held something else before."""
    y = Guarded(before)
    for first, count, kernel in matrices.MATVEC[columns]:
        kernel(w, 0, y.view, x.view[first : first + count], rows, at + first * rows)
    return y.values()


def expected_product(columns, w, x, rows, at, before):
    y = list(before)
    for first, count, kernel in PlainKernels(2).MATVEC[columns]:
        kernel(w, 0, y, x.values()[first : first + count], rows, at + first * rows)
    return y


def test_blocks_cover_a_matrix_in_order():
    for columns, blocks in matrices.MATVEC.items():
        edge = 0
        for first, count, _ in blocks:
            assert first == edge and 1 <= count <= 192
            edge += count
        assert edge == columns
    counts = {columns: len(blocks) for columns, blocks in matrices.MATVEC.items()}
    assert (counts[192], counts[193], counts[384], counts[385]) == (1, 2, 2, 3)


def test_matrix_products_of_all_shapes():
    random.seed(1)
    for columns in matrices.MATVEC:
        for rows in (0, 1, 2, 5):
            at = between(0, 9)
            w = random_bytes(at + rows * columns)
            x = Guarded(mixed(-32768, 32767, columns))
            before = mixed(-1000000, 1000000, rows)
            arguments = (columns, w, x, rows, at, before)
            assert product(*arguments) == expected_product(*arguments), (columns, rows)


def test_matrix_products_of_extreme_weights_and_inputs():
    """The largest sums of up to 400 columns still fit 32 bits; on the way they may wrap."""
    for columns in matrices.MATVEC:
        for weight in (0, 1, 127, 128, 255):
            for value in (-32768, -32767, 32767):
                w, x = bytearray([weight] * (2 * columns)), Guarded([value] * columns)
                total = (weight - 128) * value * columns
                assert product(columns, w, x, 2, 0, [5, -5]) == [total, total]


def q_limit(size):
    """So that |q.k| stays below 2**30 for any k of 16 bits."""
    return min(32767, ((1 << 30) - 1) // (32768 * size))


def test_scores_of_1_to_512_positions():
    random.seed(2)
    for size, kernels in HEADS.items():
        limit = q_limit(size)
        for n in POSITIONS:
            row = between(0, 3)
            keys = u16_buffer(mixed(0, 65535, (n + row) * size))
            q = Guarded(mixed(-limit, limit, size))
            out, expected = Guarded([1] * n), [1] * n
            largest = kernels.scores(keys, 0, out.view, q.view, n, row)
            assert largest == PlainKernels(size).scores(keys, 0, expected, q.values(), n, row)
            assert out.values() == expected, (size, n)


def test_scores_of_small_keys_and_wide_queries():
    random.seed(3)
    for size, kernels in HEADS.items():
        limit = q_limit(size)
        keys = u16_buffer(mixed(32768 - limit, 32768 + limit, 40 * size))
        q = Guarded(mixed(-32767, 32767, size))
        out, expected = Guarded([0] * 40), [0] * 40
        largest = kernels.scores(keys, 0, out.view, q.view, 40, 0)
        assert largest == PlainKernels(size).scores(keys, 0, expected, q.values(), 40, 0)
        assert out.values() == expected, size


def test_scores_that_are_all_the_least():
    for size, kernels in HEADS.items():
        limit = q_limit(size)
        keys = u16_buffer([65535] * (3 * size))
        q, out = Guarded([-limit] * size), Guarded([0] * 3)
        least = -limit * 32767 * size
        assert kernels.scores(keys, 0, out.view, q.view, 3, 0) == least
        assert out.values() == [least] * 3


def test_means_under_the_weights_of_1_to_512_positions():
    random.seed(4)
    for size, kernels in HEADS.items():
        plain = PlainKernels(size)
        for n in POSITIONS:
            for shift in (4, 14, 18, 30):  # from one weight that counts to nearly equal ones
                row = between(0, 3)
                values = u16_buffer(mixed(0, 65535, (n + row) * size))
                scores = mixed(-(1 << 27), 1 << 27, n)
                total = plain.exponentials(scores, 0, EXP, max(scores), n, shift)
                weights, out, expected = Guarded(scores), Guarded([0] * size), [0] * size
                kernels.mean(values, 0, weights.view, out.view, n, total, row)
                plain.mean(values, 0, scores, expected, n, total, row)
                assert out.values() == expected, (size, n, shift)


def test_means_of_equal_extremes_are_those_extremes():
    for size, kernels in HEADS.items():
        for n in (1, 2, 3, 511, 512, 1500):
            for value in (-32768, -32767, -1, 0, 32767):
                values = u16_buffer([value + 32768] * (n * size))
                weights, out = Guarded([32768] * n), Guarded([9] * size)
                kernels.mean(values, 0, weights.view, out.view, n, 32768 * n, 0)
                assert out.values() == [value] * size, (size, n, value)


def test_means_under_weights_whose_sum_is_at_the_edge_of_a_shift():
    random.seed(5)
    for size, kernels in HEADS.items():
        for last in (0, 1, 2, 32767, 32768):
            for more in ([], [32768, 1], [32768, 32768]):
                weights = [32768, last] + more
                values = u16_buffer(mixed(0, 65535, len(weights) * size))
                arguments = (len(weights), sum(weights), 0)
                out, expected = Guarded([0] * size), [0] * size
                kernels.mean(values, 0, Guarded(weights).view, out.view, *arguments)
                PlainKernels(size).mean(values, 0, weights, expected, *arguments)
                assert out.values() == expected, (size, weights)


def test_means_round_half_up_on_both_sides_of_zero():
    for size, kernels in HEADS.items():
        for low, high, expected in ((0, 1, 1), (-1, 0, 0), (1, 2, 2), (-2, -1, -1), (-3, 3, 0)):
            values = u16_buffer([low + 32768] * size + [high + 32768] * size)
            weights, out = Guarded([16384, 16384]), Guarded([9] * size)
            kernels.mean(values, 0, weights.view, out.view, 2, 32768, 0)
            assert out.values() == [expected] * size
