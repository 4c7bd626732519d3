"""Emulated processors against Python: what mpy-cross compiles computes what was written."""

from collections.abc import Iterator

import numpy as np
import pytest

from bench.emulation.memory import Fault
from bench.emulation.module import TARGETS, EmulatedModule
from tests.bench.viper import integers, module, wrapped


@pytest.fixture(params=TARGETS)
def chip(request: pytest.FixtureRequest) -> EmulatedModule:
    return module(request.param)


def quadruples() -> Iterator[list[int]]:
    for seed in range(40):
        yield [wrapped(value) for value in integers(4, seed)]


def test_arithmetic_wraps_at_32_bits(chip: EmulatedModule) -> None:
    for a, b, c, d in quadruples():
        expected = wrapped((a + b) * c - d * (a - c) + 100000)
        assert chip.call("arithmetic", a, b, c, d) == expected


def test_bits_are_combined(chip: EmulatedModule) -> None:
    for a, b, c, _ in quadruples():
        expected = (a & b | c) ^ (a | 0x7FF) ^ (c & 32767)
        assert chip.call("logic", a, b, c) == wrapped(expected)


@pytest.mark.parametrize("by", [0, 1, 15, 31])
def test_shifts_keep_the_sign(chip: EmulatedModule, by: int) -> None:
    for a, b, *_ in quadruples():
        expected = wrapped(a << by) ^ (b >> by) ^ wrapped(a << 3) ^ (b >> 15)
        assert chip.call("shifts", a, b, by) == expected


def test_comparisons_with_and_without_sign(chip: EmulatedModule) -> None:
    pairs = [(a, b) for a, b, *_ in quadruples()]
    for a, b in [*pairs, (0, 0), (5, 5), (-1, 1), (1, -1), (-(1 << 31), 0)]:
        unsigned = a % 2**32 < b % 2**32
        holds = (a < b, a > b, a <= b, a >= b, a == b, a != b, unsigned, not unsigned, a != 0)
        assert chip.call("order", a, b) == sum(1 << i for i, true in enumerate(holds) if true)


def test_division_rounds_down(chip: EmulatedModule) -> None:
    for a, b in [(7, 2), (-7, 2), (7, -2), (-7, -2), (0, 9), (1 << 30, 3)]:
        assert chip.call("floor_divided", a, b) == a // b * 3 + a % b
    assert chip.calls["small_int_floor_divide"] == 6


def test_division_by_zero_is_a_fault(chip: EmulatedModule) -> None:
    with pytest.raises(Fault, match="division by zero"):
        chip.call("floor_divided", 1, 0)


def test_loads_and_stores_of_every_width(chip: EmulatedModule) -> None:
    numbers = np.random.default_rng(1)
    for at in (0, 1, 4, 6):
        bytes_, halves = numbers.integers(0, 256, 8), numbers.integers(0, 65536, 8)
        words = numbers.integers(-(1 << 20), 1 << 20, 8)
        out = chip.placed(bytes(20))
        chip.call("widths", chip.placed(bytes_, "u1"), chip.placed(halves, "<u2"),
                  chip.placed(words), out, at)  # fmt: skip
        sums = [int(values[1] + values[at]) for values in (bytes_, halves, words)]
        assert list(chip.int32s(out, 3)) == sums
        narrow = chip.bytes(out + 12, 6)
        assert narrow[0] == words[2] & 255 and narrow[1] == words[at] & 255
        stored = int.from_bytes(narrow[2:4], "little"), int.from_bytes(narrow[4:6], "little")
        assert stored == (words[3] & 65535, words[at] & 65535)


def test_loops(chip: EmulatedModule) -> None:
    for n in (0, 1, 2, 100):
        assert chip.call("triangle", n) == n * (n - 1)


def test_instructions_grow_evenly_with_a_loop(chip: EmulatedModule) -> None:
    counts = []
    for n in (10, 11, 12):
        chip.clear()
        chip.call("triangle", n)
        counts.append(chip.instructions)
    assert counts[1] - counts[0] == counts[2] - counts[1] > 5


def test_conversions_of_arguments_are_told(chip: EmulatedModule) -> None:
    chip.call("arithmetic", 1, 2, 3, 4)
    assert chip.calls["native_from_obj"] == 4


@pytest.mark.parametrize(("name", "offset"), [("half_word", 1), ("word", 1), ("word", 2)])
def test_unaligned_accesses_are_faults(chip: EmulatedModule, name: str, offset: int) -> None:
    address = chip.placed(bytes(8))
    with pytest.raises(Fault, match="unaligned access of [24] bytes"):
        chip.call(name, address + offset, *([7] if name == "word" else []))


def test_accesses_outside_of_memory_are_faults(chip: EmulatedModule) -> None:
    for address in (0, 0x10000 + (1 << 20), 0xFFFFFFFC):
        with pytest.raises(Fault, match="outside of the memory"):
            chip.call("word", address, 7)


def test_what_does_not_end_is_a_fault(
    chip: EmulatedModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.emulation.processor._MOST_INSTRUCTIONS", 1000)
    with pytest.raises(Fault, match="no end after 1000 instructions"):
        chip.call("endless", 1)
