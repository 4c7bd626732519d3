"""Every kernel in machine code against its viper twin, on random and extreme numbers."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.emulation.memory import Fault
from host.build.kernels import MAX_COLUMNS
from host.build.machine_code.registry import RV32IM, kernel_set
from host.model import arithmetic
from tests.bench.twins import Scratch, Twins, generated, numbers

INT16, INT32 = (-32768, 32767), (-(1 << 31), (1 << 31) - 1)
# Shapes of the shipped model, of stories260K, stories15M and SmolLM2-135M, and others between.
HEAD_SIZES = (2, 8, 12, 20, 48, 64)
seeds = st.integers(0, 2**32 - 1)


@cache
def twins(path: str) -> Twins:
    return Twins(path)


@cache
def of_shape(columns: int, head_dim: int = 8) -> Twins:
    return generated([columns], head_dim)


def check(examples: int):
    return settings(max_examples=examples, deadline=None, derandomize=True)


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


@pytest.mark.verify
def test_attention_over_long_contexts():
    for seen, seed in ((511, 1), (512, 2), (1024, 3), (1027, 4)):
        attend(8, 1, seen, seed)


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
@given(st.integers(0, 40), st.integers(16, 45), seeds)
def test_residual_adds(count, shift, seed):
    random = np.random.default_rng(seed)
    at = 2 * int(random.integers(0, 3))
    twins(NORMS).check(
        "add_rescaled", numbers(random, -0xFFFFFF, 0xFFFFFF, count), 0,
        numbers(random, -(1 << 30), 1 << 30, count),
        bytes(at) + numbers(random, 0, 32767, count, "<u2"), at, count, shift,
    )  # fmt: skip


BITS = "protocol/bitpack_pointers.py"


@check(60)
@given(st.integers(0, 40), st.integers(1, 32), st.integers(0, 5), seeds)
def test_packing(count, bits, at, seed):
    random = np.random.default_rng(seed)
    values = numbers(random, -(1 << bits - 1), (1 << bits - 1) - 1, count)
    size = -(-count * bits // 8)
    assert twins(BITS).check("bits_needed", values, count) <= bits
    packed = random.bytes(at + size)
    assert twins(BITS).check("pack", packed, at, values, count, bits) == size
    out = twins(BITS).check("unpack", packed, at, bytes(4 * count), count, bits)
    assert out == size
    first = int(random.integers(0, 3))
    sums = numbers(random, *INT32, first + count)
    twins(BITS).check("add_unpacked", packed, at, sums, first, count, bits)


FRAMES = "protocol/cobs_pointers.py"


def content(random: np.random.Generator, count: int) -> bytes:
    """Bytes with no, few or many zeros."""
    data = random.integers(1, 256, count)
    zeros = random.random(count) < random.choice([0, 0.01, 0.3, 1])
    return np.where(zeros, 0, data).astype("u1").tobytes()


@check(40)
@given(st.one_of(st.integers(0, 20), st.integers(240, 600)), st.integers(0, 3), seeds)
def test_cobs(count, at, seed):
    random = np.random.default_rng(seed)
    frame = content(random, count)
    size = count + count // 254 + 2
    twins(FRAMES).check("encode", frame, bytes(at + size), count, at)


@check(60)
@given(st.integers(1, 300), seeds)
def test_cobs_is_decoded_wherever_it_is_cut(count, seed):
    random = np.random.default_rng(seed)
    data = content(random, count)
    capacity = int(random.choice([0, 20, 700]))
    held = int(random.integers(-1, min(capacity, 20) + 1))
    state = [
        int(random.integers(0, count + 1)),
        0 if held < 0 else int(random.integers(0, min(255, capacity - held + 1))),
        int(random.integers(0, 2)),
        held,
    ]
    state[2] = state[2] if held + state[1] < capacity else 0
    place = np.array(state, "<i4").tobytes()
    twins(FRAMES).check("decode", data, bytes(capacity + 300), place, count, capacity)


CHECKS = "protocol/frame_check.py"


def crc_table() -> bytes:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
        table.append(value)
    return np.array(table, "<u4").tobytes()


def test_frames_are_checked():
    """By the native kernels alone, for the twins look names up: tests/protocol holds those."""
    import binascii

    module = twins(CHECKS).native
    random = np.random.default_rng(1)
    for size in (0, 1, 3, 4, 7, 64, 250):
        for odd in (0, 1):
            payload = random.bytes(size)
            head = bytes([2, 0x10, 3, 254, 1, 0]) + size.to_bytes(2, "little")
            body = head + payload
            module.clear()
            module.set_global("_TABLE", module.placed(crc_table()))
            place = module.placed(bytes(odd) + body + bytes(8)) + odd
            module.call("put_crc32", place, len(body))
            framed = module.bytes(place, len(body) + 4)
            assert framed == body + binascii.crc32(body).to_bytes(4, "little")
            assert module.call("check_frame", place, len(framed)) == size
    good = bytes([2, 1, 0, 0, 0, 0, 0, 0])
    good += binascii.crc32(good).to_bytes(4, "little")
    for damaged, fault in (
        (good[:8], -4), (bytes([1]) + good[1:], -1), (good[:6] + b"\1\0" + good[8:], -5),
        (good[:6] + b"\0\x09" + good[8:], -3), (good[:2] + b"\xff" + good[3:], -2),
        (good[:-1] + b"\0", -7), (b"\3" + good[1:], -5), (b"\3" + good[1:] + bytes(8), 0),
    ):  # fmt: skip
        place = module.placed(damaged)
        assert module.call("check_frame", place, len(damaged)) == fault


@check(15)
@given(st.integers(0, 40), st.integers(0, 5), seeds)
def test_sums(count, first, seed):
    random = np.random.default_rng(seed)
    module = twins("protocol/sums.py")
    total = numbers(random, *INT32, first + count)
    values = numbers(random, *INT32, count)
    module.check("contribute", total, first, values, bytes(4 * count), count)
    module.check("_clear", total, first + count)


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


def test_kernels_go_by_chip():
    for chip in ("esp32c3", "esp32c5", "esp32c6", "esp32h2", "esp32p4"):
        assert kernel_set(chip) is RV32IM
    for chip in ("esp32s2", "esp8266", "", None):
        assert kernel_set(chip) is None
