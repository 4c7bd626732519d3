"""Kernels of int8 caches as boards execute them, emulated, against the specification."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from bench.emulation.module import TARGETS, EmulatedModule
from bench.native import NATIVE_SETS
from host.build.int8_kernels import int8_kernels
from host.build.kernels import kernel_source
from host.build.machine_code.registry import KernelSet
from host.model import arithmetic
from host.model.arithmetic import INT16_LIMIT, Ints
from host.model.quantization.layers import score_limits
from host.parallel.heap import INT8_CODE

SIZES = (2, 6, 8, 16, 22, 24, 48, 64, 130)
EXTREMES = (0, 1, -1, 127, 128, -128, -129, 255, 256, INT16_LIMIT - 1, INT16_LIMIT, -INT16_LIMIT)
_GROUP, _SHIFT = 2, 13


# Viper's code for each processor, and machine code of ours.
CODE = [*TARGETS, *NATIVE_SETS]


@cache
def module(code: str | KernelSet, size: int) -> EmulatedModule:
    source = f"import micropython\n{int8_kernels(size)}"
    path = "firmware/compute/model_kernels.py"
    if isinstance(code, str):
        return EmulatedModule(source, path, code)
    made = EmulatedModule(source, path, code.mpy_arch, code, size)
    assert {"attend_int8", "cache_rows_int8"} == made.native
    return made


def of_code(test: Callable[..., None]) -> Callable[..., None]:
    names = [code if isinstance(code, str) else code.name for code in CODE]
    return pytest.mark.parametrize("code", CODE, ids=names)(test)


def rows_of(random: np.random.Generator, shape: tuple[int, ...], limit: int) -> Ints:
    """Rows of all magnitudes, and of extremes alone."""
    bits = random.integers(0, limit.bit_length() + 1, (*shape[:-1], 1))
    rows = random.integers(-limit, limit + 1, shape) >> bits
    extreme = random.choice([*EXTREMES, limit, -limit], shape)
    rows = np.where(random.integers(0, 3, (*shape[:-1], 1)) == 0, extreme, rows)
    return arithmetic.saturate(rows.astype(np.int64), limit)


def stored(rows: Ints) -> bytes:
    """Rows [heads, context, size] in an int8 cache, by its description in weights.py."""
    numbers = bytearray()
    shifts = bytearray()
    for row in rows.reshape(-1, rows.shape[-1]):
        shift = next(s for s in range(16) if max(map(abs, row)) >> s <= 127)
        shifts.append(shift)
        numbers += bytes(min((int(v) + (1 << shift >> 1)) >> shift, 127) + 128 for v in row)
    return bytes(numbers + shifts)


@of_code
@pytest.mark.parametrize("size", SIZES)
def test_rows_are_stored_with_their_shifts(code: str | KernelSet, size: int) -> None:
    kernels, random = module(code, size), np.random.default_rng(size)
    for heads, context, row in ((1, 1, 0), (2, 5, 4), (3, 4, 1)):
        kernels.clear()
        x = rows_of(random, (2, heads, size), INT16_LIMIT)
        x[0, 0, 0] = -INT16_LIMIT - 1  # beyond what is ever stored: still within a byte
        count = heads * context * (size + 1)
        before = random.integers(0, 256, count).astype(np.uint8).tobytes()
        caches = [kernels.placed(before) for _ in range(2)]
        kernels.call("cache_rows_int8", kernels.placed(x), *caches, row, heads, size, context, 7)
        for place, own in zip(caches, x, strict=True):
            expected = bytearray(before)
            for head in range(heads):
                at, made = head * context + row, stored(own[head])
                expected[at * size : (at + 1) * size] = made[:size]
                expected[heads * context * size + at] = made[size]
            assert kernels.bytes(place, count) == bytes(expected)


@of_code
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seen", [1, 2, 7, 33])
def test_attention_is_the_specifications(code: str | KernelSet, size: int, seen: int) -> None:
    check_attention(module(code, size), size, seen)


def check_attention(kernels: EmulatedModule, size: int, seen: int) -> None:
    random = np.random.default_rng(100 * size + seen)
    q_limit, k_limit = score_limits(size)
    kv_heads, context = 2, seen + 2
    k_limit = arithmetic.narrow_limit(k_limit)
    keys = rows_of(random, (kv_heads, context, size), k_limit)
    values = rows_of(random, keys.shape, arithmetic.narrow_limit(INT16_LIMIT))
    if seen == 2:  # the largest score and mean that there can be
        keys[:], values[:] = k_limit, -arithmetic.narrow_limit(INT16_LIMIT)
    heads = kv_heads * _GROUP
    q = random.integers(-q_limit, q_limit + 1, (heads, size))
    first = np.repeat(np.arange(kv_heads) * context, _GROUP)
    kernels.clear()
    table = arithmetic.exp_table()
    out, places = kernels.placed(np.full(q.size, 5)), np.append(first, kv_heads * context)
    kernels.call(
        "attend_int8", 0, 0, kernels.placed(stored(keys)), kernels.placed(stored(values)),
        kernels.placed(places), heads, kernels.placed(q), out,
        kernels.placed(np.full(seen, 7)), kernels.placed(table, "<u2"), seen, _SHIFT,
    )  # fmt: skip
    keys, values = (arithmetic.narrow_rows(rows)[:, :seen] for rows in (keys, values))
    keys, values = (np.repeat(rows, _GROUP, axis=0) for rows in (keys, values))
    scores = (keys @ q[..., None])[..., 0]
    expected = arithmetic.weighted_mean(
        arithmetic.attention_weights(scores, _SHIFT, table), values
    )
    assert kernels.int32s(out, q.size).tolist() == expected.reshape(-1).tolist()


@pytest.mark.parametrize("kernels", NATIVE_SETS, ids=lambda kernels: kernels.name)
@pytest.mark.parametrize("size", [8, 12, 48])
def test_plans_count_about_what_they_add_to_machine_code(kernels: KernelSet, size: int) -> None:
    """Beside other kernels for heads of the size; wide ones are written out, with int8 or not."""
    path = "firmware/compute/model_kernels.py"
    sizes = []
    for int8_kv in (False, True):
        source = kernel_source([8], size, int8_kv=int8_kv)
        module = EmulatedModule(source, path, kernels.mpy_arch, kernels, size)
        sizes.append(sum(len(function.code) for function in module._functions.values()))
    assert -1000 < sizes[1] - sizes[0] - INT8_CODE < 1100
