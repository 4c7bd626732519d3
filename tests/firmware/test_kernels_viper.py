"""The kernels whose code does not depend on the model, bit for bit against plain Python.

MicroPython alone runs these: as it compiles them itself and as mpy-cross does for chips.
"""

import random
from array import array

from deployed import kernels as compiled_ahead

from firmware.compute import kernels as compiled_here
from tests.firmware.plain import SIGMOID_TABLE, PlainKernels, bit_length, u16_buffer
from tests.firmware.samples import Guarded, between, mixed
from tests.protocol.noise import random_bytes

COMPILED = (compiled_here, compiled_ahead)
PLAIN = PlainKernels(8)
SIGMOID = u16_buffer(SIGMOID_TABLE)
LIMITS = (1, 511, 16383, 32767)
INT_MIN = -(1 << 31)
ACCUMULATOR_LIMIT = 1 << 30


def test_int16s_are_loaded_from_any_byte():
    random.seed(1)
    src = random_bytes(400)
    src[2:8] = b"\x00\x80\xff\x7f\xff\xff"
    for kernels in COMPILED:
        for n in (0, 1, 2, 64, 180):
            for at in (0, 1, 2, 3, 15):
                out, expected = Guarded([7] * n), [7] * n
                kernels.load_int16s(src, 0, at, out.view, n)
                PLAIN.load_int16s(src, 0, at, expected, n)
                assert out.values() == expected


def test_int16s_are_stored_at_any_byte():
    random.seed(2)
    for kernels in COMPILED:
        for n in (0, 1, 2, 64, 180):
            for at in (0, 1, 2, 3, 20):
                values = mixed(-32768, 32767, n)
                out = random_bytes(400)
                expected = bytearray(out)
                kernels.store_int16s(Guarded(values).view, 0, at, out, n)
                PLAIN.store_int16s(values, 0, at, expected, n)
                assert out == expected


def test_rescale_is_exact_at_every_shift():
    """Below 2**30 as the specification has it, and down to the least of all 32-bit integers."""
    random.seed(3)
    for kernels in COMPILED:
        for shift in range(16, 46):
            for limit in LIMITS:
                n, at = between(0, 40), 2 * between(0, 3)
                values = mixed(INT_MIN, ACCUMULATOR_LIMIT, n)
                multiplier = u16_buffer(mixed(0, 32767, n + 4))
                x, expected = Guarded(values), list(values)
                parts = array("i", [n, shift, limit])
                kernels.rescale(x.view, 0, multiplier, at, parts, 1)
                PLAIN.rescale(expected, 0, multiplier, at, parts, 1)
                assert x.values() == expected, (shift, limit, values)


def test_parts_have_their_own_shift_and_limit():
    random.seed(9)
    for kernels in COMPILED:
        for sizes in ((0,), (3,), (4, 0, 6), (2, 8, 8), (6, 2)):
            parts = array("i")
            for size in sizes:
                parts.extend(array("i", [size, between(18, 30), between(500, 32767)]))
            values = mixed(-ACCUMULATOR_LIMIT, ACCUMULATOR_LIMIT, sum(sizes) + 2)
            multiplier = u16_buffer(mixed(0, 32767, len(values)))
            x, expected = Guarded(values), list(values)
            kernels.rescale(x.view, 0, multiplier, 0, parts, len(sizes))
            PLAIN.rescale(expected, 0, multiplier, 0, parts, len(sizes))
            assert x.values() == expected, sizes
            if not any(size % 2 for size in sizes):
                row = Guarded(mixed(-16384, 16384, 2))
                kernels.rotate(x.view, 0, row.view, 1, parts, len(sizes))
                PLAIN.rotate(expected, 0, row.values(), 1, parts, len(sizes))
                assert x.values() == expected, sizes
            assert x.values()[-2:] == values[-2:]


def test_rescale_rounds_half_up_on_both_sides_of_zero():
    for kernels in COMPILED:
        x = Guarded([-3, -2, -1, 0, 1, 2, 3])
        kernels.rescale(x.view, 0, u16_buffer([16384] * 7), 0, array("i", [7, 15 + 1, 32767]), 1)
        assert x.values() == [-1, 0, 0, 0, 0, 1, 1]


def test_rotations_round_half_up_on_both_sides_of_zero():
    for kernels in COMPILED:
        # One half, less than it, and their negatives: of x0 * cosine and of x0 * sine.
        x, row = Guarded([1, 0]), Guarded([8192, 8192])
        kernels.rotate(x.view, 0, row.view, 1, array("i", [2, 0, 9]), 1)
        assert x.values() == [1, 1]
        x, row = Guarded([1, 0]), Guarded([8191, 8191])
        kernels.rotate(x.view, 0, row.view, 1, array("i", [2, 0, 9]), 1)
        assert x.values() == [0, 0]
        x, row = Guarded([-1, 0]), Guarded([8192, 8193])
        kernels.rotate(x.view, 0, row.view, 1, array("i", [2, 0, 9]), 1)
        assert x.values() == [0, -1]
        for c, s, expected in ((8192, 8191, [1, 0]), (-8192, -8193, [0, -1])):
            table = bytearray(4 * 33)
            table[0:4] = u16_buffer([1 + 16384, 0 + 16384])
            table[128:132] = u16_buffer([c + 16384, s + 16384])
            row = Guarded([5, 5])
            kernels.rope_row(table, 0, 0, row.view, 1)
            assert row.values() == expected


def test_rope_rows_of_near_and_far_positions():
    random.seed(4)
    for kernels in COMPILED:
        for pairs in (1, 2, 4, 24, 32):
            table = u16_buffer(mixed(0, 32768, 2 * pairs * (32 + 128)))
            for position in (0, 1, 31, 32, 33, 511, 512, 4095):
                row, expected = Guarded([0] * (2 * pairs)), [0] * (2 * pairs)
                kernels.rope_row(table, 0, position, row.view, pairs)
                PLAIN.rope_row(table, 0, position, expected, pairs)
                assert row.values() == expected, (pairs, position)


def test_rotate_saturates_and_takes_every_head():
    random.seed(5)
    for kernels in COMPILED:
        for pairs in (1, 2, 4, 24, 32):
            for heads in (0, 1, 2, 5):
                for limit in LIMITS:
                    values = mixed(-32767, 32767, 2 * pairs * heads)
                    row = Guarded(mixed(-16384, 16384, 2 * pairs))
                    x, expected = Guarded(values), list(values)
                    parts = array("i", [len(values), 0, limit])
                    kernels.rotate(x.view, 0, row.view, pairs, parts, 1)
                    PLAIN.rotate(expected, 0, row.values(), pairs, parts, 1)
                    assert x.values() == expected, (pairs, heads, limit)


def test_cache_rows_are_written_where_they_belong():
    random.seed(6)
    for kernels in COMPILED:
        for head_dim in (2, 8, 64):
            for heads, context, row in ((0, 4, 1), (1, 1, 0), (1, 10, 9), (3, 10, 4), (2, 7, 0)):
                for zero in (32768, 12000):
                    count = heads * head_dim
                    x = mixed(1 - zero, zero - 1, count) + mixed(-32767, 32767, count)
                    caches = [random_bytes(2 * count * context) for _ in range(2)]
                    expected = [bytearray(cache) for cache in caches]
                    arguments = (row, heads, head_dim, context, zero)
                    kernels.cache_rows(Guarded(x).view, caches[0], caches[1], *arguments)
                    PLAIN.cache_rows(x, expected[0], expected[1], *arguments)
                    assert caches == expected


def test_gate_at_all_shifts():
    random.seed(8)
    for kernels in COMPILED:
        for index_shift in (0, 1, 5, 6, 9, 14, 16, 17, 18, 25, 30):
            for shift in (0, 1, 8, 15, 29, 30):
                for limit in LIMITS:
                    n = between(0, 50)
                    gates, up = mixed(-32767, 32767, n), Guarded(mixed(-32767, 32767, n))
                    g, expected = Guarded(gates), list(gates)
                    kernels.gate(g.view, 0, up.view, SIGMOID, n, index_shift, shift, limit)
                    PLAIN.gate(expected, 0, up.values(), SIGMOID, n, index_shift, shift, limit)
                    assert g.values() == expected, (index_shift, shift, limit)


def test_gate_takes_the_ends_of_the_sigmoid_table():
    for kernels in COMPILED:
        for gate in range(-520, 521):
            g, expected = Guarded([gate]), [gate]
            up = Guarded([32767])
            kernels.gate(g.view, 0, up.view, SIGMOID, 1, 0, 6, 32767)
            PLAIN.gate(expected, 0, up.values(), SIGMOID, 1, 0, 6, 32767)
            assert g.values() == expected, gate


def test_gate_rounds_half_up_three_times():
    """The table's index, SiLU, and the product; sigmoid 16384 is one half, at index 512."""
    for kernels in COMPILED:
        for gate, up, index_shift, shift, expected in (
            (1, 1, 9, 0, 1), (-1, 1, 9, 0, 0), (3, 1, 9, 0, 2), (-3, 1, 9, 0, -1),
            (2, 3, 9, 1, 2), (2, -3, 9, 1, -1), (2, 1, 9, 2, 0), (4, 1, 9, 2, 1),
        ):  # fmt: skip
            g, factor = Guarded([gate]), Guarded([up])
            kernels.gate(g.view, 0, factor.view, SIGMOID, 1, index_shift, shift, 32767)
            assert g.values() == [expected], (gate, up, index_shift, shift)
        steps = u16_buffer([64 * i for i in range(1024)])  # so that the index shows
        for gate, index in ((8191, 512), (8192, 513), (-8192, 512), (-8193, 511)):
            g, up = Guarded([gate]), Guarded([1])
            kernels.gate(g.view, 0, up.view, steps, 1, 14, 0, 32767)
            assert g.values() == [(gate * 64 * index + 16384) >> 15]


def test_the_peer_counts_bits_right():
    assert [bit_length(n) for n in (1, 2, 3, 4, 255, 256)] == [1, 2, 2, 3, 8, 9]
