"""Kernels of frames in machine code against their viper twins: packing, COBS, checks and sums."""

import binascii

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.twins import INT32, check, crc_table, numbers, seeds, twins

PACK, UNPACK = "protocol/bitpack_pointers.py", "protocol/bitunpack_pointers.py"


@check(60)
@given(st.integers(0, 40), st.integers(1, 32), st.integers(0, 5), seeds)
def test_packing(count, bits, at, seed):
    random = np.random.default_rng(seed)
    values = numbers(random, -(1 << bits - 1), (1 << bits - 1) - 1, count)
    size = -(-count * bits // 8)
    assert twins(PACK).check("bits_needed", values, count) <= bits
    packed = random.bytes(at + size)
    assert twins(PACK).check("pack", packed, at, values, count, bits) == size
    out = twins(UNPACK).check("unpack", packed, at, bytes(4 * count), count, bits)
    assert out == size
    first = int(random.integers(0, 3))
    sums = numbers(random, *INT32, first + count)
    twins(UNPACK).check("add_unpacked", packed, at, sums, first, count, bits)


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




def test_frames_are_checked():
    """By the native kernels alone, for the twins look names up: tests/protocol holds those."""
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
