"""Kernels over vectors in machine code against their viper twins: random and extreme numbers."""

from functools import cache

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from host.build.coarser_kernel import with_coarser
from host.build.constants import inline_constants
from host.build.machine_code.registry import RV32IM, kernel_set
from host.model import arithmetic
from protocol.shard_layout import DROP
from tests.bench.twins import (
    INT16,
    INT32,
    REPOSITORY,
    Twins,
    check,
    numbers,
    seeds,
    twins,
)

ELEMENTS = "firmware/compute/kernels.py"


@check(25)
@given(st.integers(0, 40), st.integers(0, 5), seeds)
def test_int16s_are_loaded_and_stored(count, at, seed):
    random = np.random.default_rng(seed)
    frame = bytes(at) + numbers(random, *INT16, count, "<i2")
    twins(ELEMENTS).check("load_int16s", frame, 0, at, bytes(4 * count), count)
    values = numbers(random, *INT32, count)
    twins(ELEMENTS).check("store_int16s", values, 0, at, bytes(at + 2 * count), count)


def parts(random: np.random.Generator, multiple: int = 1) -> tuple[bytes, int, int]:
    """Elements, shift and limit of up to three parts; elements in all, and parts."""
    count = int(random.integers(0, 4))
    sizes = random.integers(0, 9, count) * multiple
    rows = [
        (size, random.integers(16, 46), random.choice([1, 511, 16383, 32767])) for size in sizes
    ]
    return np.array(rows, "<i4").tobytes(), int(sizes.sum()), count


@check(40)
@given(seeds)
def test_rescale(seed):
    random = np.random.default_rng(seed)
    table, count, number = parts(random)
    at = 2 * int(random.integers(0, 3))
    multipliers = bytes(at) + numbers(random, 0, 32767, count, "<u2")
    x = numbers(random, -(1 << 31), 1 << 30, count)
    twins(ELEMENTS).check("rescale", x, 0, multipliers, at, table, number)


@check(25)
@given(st.sampled_from((1, 2, 4, 24, 32)), seeds)
def test_rotations(pairs, seed):
    random = np.random.default_rng(seed)
    table, count, number = parts(random, 2 * pairs)
    row = numbers(random, -16384, 16384, 2 * pairs)
    x = numbers(random, -32767, 32767, count)
    twins(ELEMENTS).check("rotate", x, 0, row, pairs, table, number)
    table = numbers(random, 0, 32768, 2 * pairs * 48, "<u2")
    position = int(random.integers(0, 512))
    twins(ELEMENTS).check("rope_row", table, 0, position, bytes(8 * pairs), pairs)


@check(25)
@given(st.integers(0, 3), st.sampled_from((2, 8, 48, 64)), st.integers(1, 5), seeds)
def test_cache_rows(heads, size, context, seed):
    random = np.random.default_rng(seed)
    cache = numbers(random, 0, 65535, heads * size * context, "<u2")
    row, zero = int(random.integers(0, context)), int(random.integers(1, 32769))
    x = numbers(random, 1 - zero, zero - 1, 2 * heads * size)
    twins(ELEMENTS).check("cache_rows", x, cache, cache, row, heads, size, context, zero)


@check(40)
@given(st.integers(0, 20), st.integers(0, 30), st.integers(0, 30), seeds)
def test_gate(count, index_shift, shift, seed):
    random = np.random.default_rng(seed)
    gates, up = (numbers(random, -32767, 32767, count) for _ in range(2))
    table = arithmetic.sigmoid_table().astype("<u2").tobytes()
    limit = int(random.choice([1, 511, 16383, 32767]))
    twins(ELEMENTS).check("gate", gates, 0, up, table, count, index_shift, shift, limit)


NORMS = "firmware/compute/norms.py"


@cache
def coarser():
    """Of models whose residual stream gets coarser in a layer."""
    source = inline_constants((REPOSITORY / NORMS).read_text(), keeps_names=True)
    return Twins(NORMS, with_coarser(source))


@check(25)
@given(st.sampled_from((1, 2, 3, 16, 64, 65, 96)), seeds)
def test_norms(count, seed):
    random = np.random.default_rng(seed)
    bits = int(random.integers(1, 25))
    residual = numbers(random, -(1 << bits) + 1, (1 << bits) - 1, count)
    at = 2 * int(random.integers(0, 3))
    gain = bytes(at) + numbers(random, 1, 65535, count, "<u2")
    shift, epsilon = int(random.integers(15, 30)), int(random.integers(0, 1 << 30))
    limit = int(random.choice([511, 32767]))
    twins(NORMS).check(
        "norm", residual, 0, gain, at, bytes(4 * count), count, shift, epsilon >> 3, limit
    )
    logits = numbers(random, -3 if seed & 1 else -32768, 3 if seed & 1 else 32767, count)
    twins(NORMS).check("best", logits, count)


@check(25)
@given(st.integers(0, 40), st.integers(16, 45), st.just(0) | st.integers(0, 30), seeds)
def test_residual_adds(count, shift, drop, seed):
    random = np.random.default_rng(seed)
    at = 2 * int(random.integers(0, 3))
    given = (
        numbers(random, -0xFFFFFF, 0xFFFFFF, count), 0,
        numbers(random, -(1 << 30), 1 << 30, count),
        bytes(at) + numbers(random, 0, 32767, count, "<u2"), at, count,
    )  # fmt: skip
    twins(NORMS).check("add_rescaled", *given, shift)
    coarser().check("add_coarser", *given, shift + DROP * drop)


def test_kernels_go_by_chip():
    for chip in ("esp32c3", "esp32c5", "esp32c6", "esp32h2", "esp32p4"):
        assert kernel_set(chip) is RV32IM
    for chip in ("esp32s2", "esp8266", "", None):
        assert kernel_set(chip) is None
