"""Products of matrices and attention in machine code against their viper twins, at all shapes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.emulation.memory import Fault
from host.build.kernels import MAX_COLUMNS
from host.model import arithmetic
from tests.bench.twins import INT16, INT32, Scratch, check, generated, numbers, of_shape, seeds

# Shapes of the shipped model, of stories260K, stories15M and SmolLM2-135M, and others between.
HEAD_SIZES = (2, 8, 12, 20, 48, 64)


def matvec(columns: int, rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    module = of_shape(columns)
    at = int(random.integers(0, 40))
    weights = bytes(at) + numbers(random, 1, 255, rows * columns, "u1")
    y, x = numbers(random, *INT32, rows), numbers(random, *INT16, columns)
    for name in module.native.native - {"attend"}:
        module.check(name, weights, 0, y, x, rows, at)


@check(8)
@given(st.integers(1, MAX_COLUMNS), st.integers(0, 40), seeds)
def test_products_of_any_shape(columns, rows, seed):
    matvec(columns, rows, seed)


@pytest.mark.parametrize("columns", [8, 13, 35, 64, 96])
def test_products_of_every_number_of_rows(columns):
    for rows in (1, 7, 15, 17, 36):
        matvec(columns, rows, rows)


@pytest.mark.verify
@pytest.mark.parametrize("columns", range(1, MAX_COLUMNS + 1))
def test_products_of_every_number_of_columns(columns):
    """All that blocks of columns can have: whatever the planner deals, it is among them."""
    for rows in (1, 29, 64):
        matvec(columns, rows, rows)


@pytest.mark.verify
def test_products_in_blocks_of_columns():
    for columns in (193, 288, 576, 768, 1536):
        random = np.random.default_rng(columns)
        module = generated([columns], 8)
        for name in module.native.native - {"attend"}:
            count = int(name.rpartition("_")[2])
            module.check(
                name, numbers(random, 1, 255, 17 * count, "u1"), 0, numbers(random, *INT32, 17),
                numbers(random, *INT16, count), 17, 0,
            )  # fmt: skip


def attend(size: int, heads: int, seen: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    context, kv_heads = seen + int(random.integers(0, 3)), int(random.integers(1, heads + 1))
    limit = int(random.choice([32767, 8191, 1000]))
    # |q.k| < 2**30, as the quantizer sees to.
    q_limit = min(32767, (1 << 30) // (size * (2 * limit + 2)))
    keys = numbers(random, 1, 2 * limit + 1, kv_heads * context * size, "<u2")
    values = numbers(random, 1, 65535, kv_heads * context * size, "<u2")
    rows = (np.arange(heads) * kv_heads // heads * context).astype("<i4").tobytes()
    q = numbers(random, -q_limit, q_limit, heads * size)
    table = arithmetic.exp_table().astype("<u2").tobytes()
    shift = int(random.integers(0, 22))
    of_shape(8, size).check(
        "attend", 0, 0, keys, values, rows, heads, q, bytes(4 * heads * size),
        Scratch(4 * seen), table, seen, shift,
    )  # fmt: skip


@check(10)
@given(st.sampled_from(HEAD_SIZES), st.integers(1, 3), st.integers(1, 40), seeds)
def test_attention(size, heads, seen, seed):
    attend(size, heads, seen, seed)


def test_attention_of_no_head():
    of_shape(8, 8).check(
        "attend", 0, 0, b"", b"", b"", 0, b"", b"", bytes(4), bytes(1024), 1, 0
    )  # fmt: skip


@pytest.mark.verify
@pytest.mark.parametrize("size", range(2, 130, 2))
def test_attention_of_every_head_size(size):
    for seen in (1, 2, 7, 8, 9, 33):
        attend(size, 2, seen, size * seen)


def test_attention_of_wide_heads():
    """Whose elements viper takes in blocks, and machine code in fewer positions at a time."""
    attend(256, 2, 9, 1)
    attend(226, 1, 3, 2)


@pytest.mark.verify
@pytest.mark.parametrize("size", [192, 194, 254, 258, 320, 384, 512, 514, 1016, 1024, 1790, 4096])
def test_attention_of_every_wide_head_size(size):
    for seen in (1, 2, 3, 9):
        attend(size, 2, seen, size * seen)


@pytest.mark.verify
def test_attention_over_long_contexts():
    for seen, seed in ((511, 1), (512, 2), (1024, 3), (1027, 4), (8191, 5), (8192, 6), (8192, 7)):
        attend(8, 1, seen, seed)


def test_wrong_kernels_are_noticed():
    """The comparison itself: one whose bias is left out."""
    module = of_shape(8)
    random = np.random.default_rng(5)
    good = module.native._functions["matvec_8"]
    module.native._functions["matvec_8"] = good.__class__(
        **{**good.__dict__, "code": _without_bias(good.code)}
    )
    try:
        with pytest.raises((AssertionError, Fault)):
            module.check(
                "matvec_8", numbers(random, 3, 9, 64, "u1"), 0, bytes(32),
                np.arange(1, 9, dtype="<i4").tobytes(), 8, 0,
            )  # fmt: skip
    finally:
        module.native._functions["matvec_8"] = good


def _without_bias(code: bytes) -> bytes:
    neg_a6 = 0x41000033 | 16 << 20 | 16 << 7
    word = neg_a6.to_bytes(4, "little")
    assert word in code
    return code.replace(word, b"\x13\x00\x00\x00")
