"""Products of matrices by machine code that takes whole rows, against viper twins and numpy."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.emulation.memory import Fault
from bench.emulation.module import EmulatedModule
from host.build.kernels import kernel_source
from host.build.machine_code.registry import LX6, PIE, KernelSet
from host.build.shard import stored_matrix

SETS = [LX6, PIE]
PATH = "firmware/compute/model_kernels.py"
GUARD = -0x5A5A5A5B
# Columns of the matrices of stories260K, stories15M, SmolLM2-135M and the shipped model on 1 to 8
# chips: the model's width, heads of a chip, and its feed-forward units.
COLUMNS = sorted(
    {64, 128, 288, 576}
    | {8 * heads for heads in range(1, 9)}
    | {48 * heads for heads in range(1, 7)}
    | {64 * heads for heads in range(1, 10)}
    | {-(-units // chips) for units in (172, 344, 768, 1536) for chips in range(1, 9)}
)
NATIVE, VIPER = True, False


@cache
def module(kernels: KernelSet, columns: int, is_native: bool) -> EmulatedModule:
    source = kernel_source([columns], 8, kernels.padding)
    return EmulatedModule(source, PATH, kernels.mpy_arch, kernels if is_native else None, 8)


def product(
    kernels: KernelSet, is_native: bool, weight: np.ndarray, x: np.ndarray, at: int
) -> np.ndarray:
    """What a kernel gives for weights from byte `at` on; raises AssertionError where it writes
    beside y."""
    rows, columns = weight.shape
    emulated = module(kernels, columns, is_native)
    emulated.clear()
    before = bytes([0xA5]) * at
    y = emulated.placed(np.full(rows + 2, GUARD))
    emulated.call(
        f"matvec_{columns}",
        emulated.placed(before + stored_matrix(weight.astype(np.int8), kernels.padding)),
        0, y + 4, emulated.placed(np.append(x, [7, -7, 32767, -32768])), rows, at,
    )  # fmt: skip
    got = emulated.int32s(y, rows + 2)
    assert got[0] == got[-1] == GUARD
    return got[1:-1]


def check(kernels: KernelSet, weight: np.ndarray, x: np.ndarray, at: int = 16) -> None:
    expected = weight.astype(np.int64) @ x
    assert product(kernels, NATIVE, weight, x, at).tolist() == expected.tolist()


def some(random: np.random.Generator, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    return random.integers(-127, 128, (rows, columns)), random.integers(-32768, 32768, columns)


@pytest.mark.parametrize("kernels", SETS, ids=lambda kernels: kernels.name)
@pytest.mark.parametrize("columns", [1, 3, 8, 15, 16, 17, 33, 35, 49, 64, 65, 172, 193, 528, 529])
def test_any_number_of_columns_and_rows(kernels: KernelSet, columns: int) -> None:
    """Both sides of where a kernel takes another form: inputs in registers or not, loads that
    reach the next row or not."""
    random = np.random.default_rng(columns)
    for rows in (0, 1, 2, 5):
        check(kernels, *some(random, rows, columns))


@pytest.mark.parametrize("kernels", SETS, ids=lambda kernels: kernels.name)
@pytest.mark.parametrize("columns", [5, 64, 288])
def test_extreme_weights_and_inputs(kernels: KernelSet, columns: int) -> None:
    for value in (-32768, -32767, -1, 0, 255, 256, 32767):
        for weight in (-127, -1, 0, 1, 127):
            check(kernels, np.full((3, columns), weight), np.full(columns, value))


@pytest.mark.parametrize("kernels", SETS, ids=lambda kernels: kernels.name)
@pytest.mark.parametrize("sign", [1, -1])
def test_sums_at_the_bound_of_int32(kernels: KernelSet, sign: int) -> None:
    """A row of weights whose sum of products is the largest, or the least, that fits."""
    x = np.full(576, 32767)
    weight = np.zeros((3, 576), int)
    weight[:, :516] = sign * 127
    left = (1 << 31) - 1 - 516 * 127 * 32767
    weight[1, 516], x[517], weight[1, 517] = sign * (left // 32767), left % 32767, sign
    expected = weight[1] @ x
    assert abs(expected) == (1 << 31) - 1
    check(kernels, weight, x)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.sampled_from(SETS), st.sampled_from(COLUMNS), st.integers(1, 4), st.integers(0, 2**32))
def test_shapes_of_models(kernels: KernelSet, columns: int, rows: int, seed: int) -> None:
    check(kernels, *some(np.random.default_rng(seed), rows, columns))


@pytest.mark.verify
@pytest.mark.parametrize("kernels", SETS, ids=lambda kernels: kernels.name)
@pytest.mark.parametrize("columns", COLUMNS)
def test_all_shapes_of_models(kernels: KernelSet, columns: int) -> None:
    random = np.random.default_rng(columns)
    for rows in (1, 2, 3, 17):
        check(kernels, *some(random, rows, columns))


@pytest.mark.parametrize("kernels", SETS, ids=lambda kernels: kernels.name)
@pytest.mark.parametrize("columns", [1, 35, 64, 130, 193])
def test_viper_twins_compute_the_same(kernels: KernelSet, columns: int) -> None:
    """From the same weights, in one, two and three blocks of columns."""
    random = np.random.default_rng(columns)
    for rows in (1, 2, 5):
        weight, x = some(random, rows, columns)
        for is_native in (NATIVE, VIPER):
            got = product(kernels, is_native, weight, x, 32)
            assert got.tolist() == (weight @ x).tolist(), is_native


def test_weights_beside_a_vector_are_noticed() -> None:
    """The comparison itself: the unit cuts addresses to multiples of 16."""
    weight, x = some(np.random.default_rng(1), 4, 64)
    with pytest.raises((AssertionError, Fault)):
        check(PIE, weight, x, at=4)
