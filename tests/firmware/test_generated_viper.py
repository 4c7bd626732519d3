"""The generated kernels, bit for bit against plain Python; tests/deployed.py makes them.

MicroPython alone runs these.
"""

import random

from deployed import (
    head_2,
    head_2_short,
    head_4,
    head_6,
    head_8,
    head_8_short,
    head_16,
    head_32,
    head_32_short,
    head_48,
    head_64,
    head_226,
    head_256,
    matrices,
    matrices_short,
)

from tests.firmware.plain import EXP_TABLE, PlainKernels, bit_length, u16_buffer
from tests.firmware.samples import Guarded, between, mixed
from tests.protocol.noise import random_bytes

HEADS = {
    2: head_2, 4: head_4, 6: head_6, 8: head_8, 16: head_16, 32: head_32, 48: head_48, 64: head_64,
}  # fmt: skip
WIDE = {226: head_226, 256: head_256}
SHORT = {2: head_2_short, 8: head_8_short, 32: head_32_short}
EXP = u16_buffer(EXP_TABLE)
POSITIONS = (1, 2, 31, 200, 512)


def product(columns, w, x, rows, at, before):
    """W x by the blocks of a generated matrix, over a buffer that held something else before."""
    made = []
    for kernels in (matrices, matrices_short):
        y = Guarded(before)
        for first, count, kernel in kernels.MATVEC[columns]:
            kernel(w, 0, y.view, x.view[first : first + count], rows, at + first * rows)
        made.append(y.values())
    assert made[0] == made[1], (columns, rows)
    return made[0]


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


def limits(size):
    """Pairs of bounds of queries and keys at which scores just fit: even and uneven ones."""
    bits = 32 - bit_length(size - 1)
    for q_bits in (bits // 2, 16, bits - 16):
        yield (1 << q_bits - 1) - 1, (1 << bits - q_bits - 1) - 1


def attended(kernels, size, keys, values, q, n, shift, rows, zero, table=EXP):
    """Means of heads, over buffers that held something else before."""
    keys, values = u16_buffer([key + zero for key in keys]), u16_buffer(values)
    q, rows = Guarded(q), Guarded(rows)
    scores, out = Guarded([7] * n), Guarded([5] * len(q.view))
    heads = len(rows.view)
    kernels.attend(
        0, 0, keys, values, rows.view, heads, q.view, out.view, scores.view, table, n, shift
    )
    scores.values(), rows.values(), q.values()
    return out.values()


def check_attention(size, keys, values, q, n, shift, rows, zero):
    arguments = (size, keys, values, q, n, shift, rows, zero)
    expected = attended(PlainKernels(size), *arguments)
    made = (WIDE if size in WIDE else HEADS)[size]
    assert attended(made, *arguments) == expected, (size, n, shift, rows)
    if size in SHORT:
        assert attended(SHORT[size], *arguments) == expected, (size, n, shift, rows)


def test_attention_of_heads_over_1_to_512_positions():
    random.seed(2)
    for size in HEADS:
        for n in POSITIONS if size < 32 else (1, 2, 3, 31):
            for q_limit, k_limit in limits(size):
                first = between(0, 3)
                rows = (first, 0, first + 1) if n < 200 else (first,)
                count = (n + first + 1) * size
                keys, values = mixed(-k_limit, k_limit, count), mixed(0, 65535, count)
                q = mixed(-q_limit, q_limit, len(rows) * size)
                shift = between(12, 19)
                check_attention(size, keys, values, q, n, shift, rows, k_limit + 1)


def test_attention_of_heads_wider_than_locals():
    random.seed(4)
    for size in WIDE:
        for n in (1, 2, 7):
            for q_limit, k_limit in limits(size):
                rows = (1, 0)
                count = (n + 1) * size
                keys, values = mixed(-k_limit, k_limit, count), mixed(0, 65535, count)
                q = mixed(-q_limit, q_limit, len(rows) * size)
                check_attention(size, keys, values, q, n, between(12, 19), rows, k_limit + 1)


def test_attention_over_8192_positions():
    random.seed(6)
    n, size = 8192, 2
    q_limit, k_limit = next(limits(size))
    keys, values = mixed(-k_limit, k_limit, n * size), mixed(0, 65535, n * size)
    q = mixed(-q_limit, q_limit, size)
    for shift in (12, 19):
        check_attention(size, keys, values, q, n, shift, (0,), k_limit + 1)


def test_means_of_extremes_over_8192_positions():
    """Weights whose sum is the largest that there is, of one more and each rounded up, under the
    largest and the smallest values; and at the longest context that a message names."""
    for size, n in ((8, 8192), (2, 65535)):
        q = Guarded([-1] + [0] * (size - 1))  # only the first key is not 0
        scores, rows = Guarded([0] * n), Guarded([0])
        for value in (-32767, 32767):
            values = bytes(u16_buffer([value + 32768])) * (n * size)
            keys = bytearray(2 * n * size)
            for first in (0, 1):
                keys[0] = first
                out = Guarded([5] * size)
                HEADS[size].attend(
                    0, 0, keys, values, rows.view, 1, q.view, out.view, scores.view, EXP, n, 0
                )
                assert out.values() == [value] * size


def test_attention_at_every_shift():
    """From one weight that counts to nearly equal ones."""
    random.seed(3)
    for shift in range(31):
        q_limit, k_limit = next(limits(8))
        keys, values = mixed(-k_limit, k_limit, 37 * 8), mixed(0, 65535, 37 * 8)
        q = mixed(-q_limit, q_limit, 16)
        check_attention(8, keys, values, q, 37, shift, (0, 0), k_limit + 1)


def test_attention_to_scores_of_the_greatest_difference():
    for size in HEADS:
        for q_limit, k_limit in limits(size):
            for sign in (1, -1):
                keys = [-k_limit] * (8 * size) + [k_limit] * (3 * size)
                values, q = mixed(0, 65535, 11 * size), [sign * q_limit] * size
                check_attention(size, keys, values, q, 11, 0, (0,), k_limit + 1)
                found = attended(
                    HEADS[size], size, keys[-4 * size :], values, q, 2, 0, (0,), k_limit + 1
                )
                row = size if sign > 0 else 0
                assert found == [value - 32768 for value in values[row : row + size]]


def test_attention_where_whole_turns_of_positions_have_no_weight():
    for size in (2, 8, 64):
        for heaviest in (0, 1, 40, 64):
            keys = [0] * (65 * size)
            keys[heaviest * size] = 1000
            values = mixed(0, 65535, 65 * size)
            check_attention(size, keys, values, [1000] * size, 65, 0, (0,), 2000)


def test_means_of_equal_extremes_are_those_extremes():
    for size, kernels in HEADS.items():
        for n in (1, 2, 3, 511, 512, 1500) if size < 32 else (1, 3, 512):
            for value in (-32768, -32767, -1, 0, 32767):
                keys, values = [0] * (n * size), [value + 32768] * (n * size)
                found = attended(kernels, size, keys, values, [0] * size, n, 9, (0,), 1)
                assert found == [value] * size


def mean_under(kernels, size, weights, values):
    """The mean of values [len(weights), size] under any different weights."""
    table = u16_buffer(weights + [0] * (512 - len(weights)))
    keys = [0] * (len(weights) * size)
    for i in range(len(weights)):
        keys[i * size] = -i  # so far below the first one is its score
    q = [1] + [0] * (size - 1)
    return attended(kernels, size, keys, values, q, len(weights), 0, (0,), 512, table)


def test_means_under_weights_whose_sum_is_at_the_edge_of_a_shift():
    random.seed(5)
    for size, kernels in HEADS.items():
        for last in (0, 1, 2, 32767, 32768):
            for more in ([], [32768, 1], [32768, 32768]):
                weights = [32768, last] + more
                values = mixed(0, 65535, len(weights) * size)
                expected = mean_under(PlainKernels(size), size, weights, values)
                assert mean_under(kernels, size, weights, values) == expected, (size, weights)


def test_means_round_half_up_on_both_sides_of_zero():
    for size, kernels in HEADS.items():
        for low, high, expected in ((0, 1, 1), (-1, 0, 0), (1, 2, 2), (-2, -1, -1), (-3, 3, 0)):
            values = [low + 32768] * size + [high + 32768] * size
            assert mean_under(kernels, size, [16384, 16384], values) == [expected] * size
