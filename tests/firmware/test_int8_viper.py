"""Kernels of int8 caches, bit for bit against plain Python. MicroPython alone runs these."""

import gc
import random

from deployed import head_2_int8, head_8_int8, head_64_int8, head_226_int8

from protocol.fields import int32s
from tests.firmware.plain import EXP_TABLE, PlainInt8Kernels, u16_buffer
from tests.firmware.samples import Guarded, between, mixed
from tests.protocol.noise import random_bytes

HEADS = {2: head_2_int8, 8: head_8_int8, 64: head_64_int8, 226: head_226_int8}
EXP = u16_buffer(EXP_TABLE)
LARGEST = 127 << 8  # of keys and values, by which sums fit 32 bits


def test_rows_are_stored_where_they_belong():
    random.seed(1)
    for size, kernels in HEADS.items():
        plain = PlainInt8Kernels(size)
        for heads, context, row in ((1, 1, 0), (3, 10, 4), (2, 7, 0)):
            for limit in (0, 1, 127, 128, 5000, 32767):
                x = mixed(-limit, limit, 2 * heads * size)
                caches = [random_bytes(heads * context * (size + 1)) for _ in range(2)]
                expected = [bytearray(cache) for cache in caches]
                arguments = row, heads, size, context, 7
                kernels.cache_rows(Guarded(x).view, caches[0], caches[1], *arguments)
                plain.cache_rows(x, expected[0], expected[1], *arguments)
                assert caches == expected, (size, heads, limit)


def attended(kernels, size, caches, rows, q, seen, shift):
    rows, q, out, scores = Guarded(rows), Guarded(q), Guarded([5] * len(q)), Guarded([7] * seen)
    heads = len(rows.view) - 1
    kernels.attend(
        0, 0, caches[0], caches[1], rows.view, heads, q.view, out.view, scores.view, EXP, seen,
        shift,
    )  # fmt: skip
    scores.values(), rows.values(), q.values()
    return out.values()


def test_attention_of_heads():
    random.seed(2)
    for size, kernels in HEADS.items():
        q_limit = (1 << 30) // (size * 2 * LARGEST)
        for seen in (1, 2, 31, 200) if size < 64 else (1, 2, 9):
            context = seen + between(0, 2)
            count = 2 * context
            caches = [
                random_bytes(count * size) + bytes(between(0, 8) for _ in range(count))
                for _ in range(2)
            ]
            rows, q = [context, 0, 0, count], mixed(-q_limit, q_limit, 3 * size)
            for shift in (0, 12, 19):
                arguments = size, caches, rows, q, seen, shift
                expected = attended(PlainInt8Kernels(size), *arguments)
                assert attended(kernels, *arguments) == expected, (size, seen, shift)


def test_means_of_extremes_over_8192_positions():
    for value in (-127, 127):
        for shift in (0, 8):
            size, count = 2, 8192
            caches = [bytes([value + 128] * (size * count)) + bytes([shift] * count)] * 2
            found = attended(HEADS[size], size, caches, [0, count], [1, -1], count, 5)
            assert found == [value << shift] * size


def test_they_allocate_nothing():
    kernels, rows = HEADS[8], int32s(3)
    x, caches, scores = int32s(64), [bytearray(600) for _ in range(2)], int32s(30)
    rows[2] = 60

    def both():
        kernels.cache_rows(x, caches[0], caches[1], 3, 2, 8, 5, 1)
        kernels.attend(0, 0, caches[0], caches[1], rows, 2, x, x, scores, EXP, 30, 5)

    both()
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(1000):
        both()
    after = gc.mem_alloc()
    gc.enable()
    assert after == before
