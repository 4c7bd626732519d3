"""Kernels of int8 caches in machine code against their viper twins, at all shapes, with guards."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.emulation.module import TARGETS, EmulatedModule
from bench.native import NATIVE_SETS
from host.build.int8_kernels import int8_kernels
from host.build.kernels import kernel_source
from host.build.machine_code.registry import KernelSet
from host.model import arithmetic
from host.parallel.cost.kernel_costs import KERNELS
from tests.bench.twins import INT16, Scratch, Twins, check, numbers, seeds

# Of which S3's vector unit takes those of a multiple of 8, of 16 in whole loads.
HEAD_SIZES = (2, 8, 12, 16, 20, 24, 40, 48, 64)
LARGEST_SHIFT = 8  # of numbers of 15 bits and a sign


@cache
def of_size(size: int) -> Twins:
    source = f"import micropython\n{int8_kernels(size)}"
    return Twins("firmware/compute/model_kernels.py", source, size)


def attend(size: int, heads: int, seen: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    context, kv_heads = seen + int(random.integers(0, 3)), int(random.integers(1, heads + 1))
    count = kv_heads * context
    most = int(random.integers(0, LARGEST_SHIFT + 1))
    caches = [
        numbers(random, 0, 255, count * size, "u1")
        + random.integers(most if seed & 1 else 0, most + 1, count).astype("u1").tobytes()
        for _ in range(2)
    ]
    # |q.k| < 2**30, as the quantizer sees to.
    q_limit = min(32767, (1 << 30) // (size * (128 << LARGEST_SHIFT)))
    rows = np.append(np.arange(heads) * kv_heads // heads * context, count).astype("<i4")
    q = numbers(random, -q_limit, q_limit, heads * size)
    table = arithmetic.exp_table().astype("<u2").tobytes()
    of_size(size).check(
        "attend_int8", 0, 0, *caches, rows.tobytes(), heads, q, bytes(4 * heads * size),
        Scratch(4 * seen), table, seen, int(random.integers(0, 22)),
    )  # fmt: skip


@check(20)
@given(st.sampled_from(HEAD_SIZES), st.integers(1, 3), st.integers(1, 40), seeds)
def test_attention(size, heads, seen, seed):
    attend(size, heads, seen, seed)


def test_attention_of_no_head():
    of_size(8).check(
        "attend_int8", 0, 0, b"", b"", bytes(4), 0, b"", b"", bytes(4), bytes(1024), 1, 0
    )


def test_attention_of_wide_heads():
    attend(256, 2, 9, 1)
    attend(226, 1, 3, 2)


@pytest.mark.verify
@pytest.mark.parametrize("size", [*range(2, 130, 2), 194, 256, 320, 514, 1016, 1024, 1790, 4096])
def test_attention_of_every_head_size(size):
    for seen in (1, 2, 7, 8, 9) if size < 130 else (1, 2, 3):
        attend(size, 2, seen, size + seen)


def name_of(code: str | KernelSet) -> str:
    return code if isinstance(code, str) else code.name


@pytest.mark.parametrize("code", [*TARGETS, *NATIVE_SETS], ids=name_of)
def test_the_model_counts_about_what_shifts_take(code: str | KernelSet) -> None:
    """The difference to int16 caches for one position more, of a head."""
    costs = KERNELS[name_of(code)]
    more = []
    for size in (8, 64):
        counts = []
        for is_int8 in (True, False):
            few, many = (count_instructions(code, size, is_int8, seen) for seen in (16, 48))
            counts.append((many - few) / 32)
        more.append(counts[0] - counts[1])
    assert min(more) / 1.5 < costs.shifted < 1.5 * max(more), more


def count_instructions(code: str | KernelSet, size: int, is_int8: bool, seen: int) -> int:
    source = kernel_source([8], size, int8_kv=is_int8)
    path = "firmware/compute/model_kernels.py"
    native = None if isinstance(code, str) else code
    target = native.mpy_arch if native else str(code)
    module = EmulatedModule(source, path, target, native, size)
    random = np.random.default_rng(1)
    # Scores so near to each other that no weight is 0, for those are skipped.
    caches = [
        numbers(random, 100, 156, seen * size, "u1") + bytes(seen)
        if is_int8
        else numbers(random, 32_700, 32_900, seen * size, "<u2")
        for _ in range(2)
    ]
    rows, q = np.array([0, seen]), random.integers(-200, 201, size)
    table = arithmetic.exp_table()
    module.call(
        "attend_int8" if is_int8 else "attend", 0, 0, *map(module.placed, caches),
        module.placed(rows), 1, module.placed(q), module.placed(np.zeros(size)),
        module.placed(np.zeros(seen)), module.placed(table, "<u2"), seen, 17,
    )  # fmt: skip
    return module.instructions


@pytest.mark.verify
def test_attention_over_many_positions():
    for size in (2, 8, 16, 64):
        attend(size, 1, 2048, size)


@check(25)
@given(st.integers(0, 3), st.sampled_from((2, 6, 8, 48, 64)), st.integers(1, 5), seeds)
def test_rows_are_stored(heads, size, context, seed):
    random = np.random.default_rng(seed)
    cache = numbers(random, 0, 255, heads * (size + 1) * context, "u1")
    bits = int(random.integers(0, 16))
    x = np.frombuffer(numbers(random, *INT16, 2 * heads * size), "<i4") >> bits
    row = int(random.integers(0, context))
    of_size(size).check(
        "cache_rows_int8", x.tobytes(), cache, cache, row, heads, size, context, 7
    )
