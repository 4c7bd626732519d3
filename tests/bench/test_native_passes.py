"""Products of matrices with several positions a pass, against viper twins and numpy."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.emulation.module import EmulatedModule
from host.build.kernels import column_blocks
from host.build.machine_code.registry import LX6, PIE, RV32IM, KernelSet
from host.build.pass_kernels import pass_name, pass_source
from host.build.shard import stored_matrix
from host.hardware.kernels import MOST_POSITIONS, positions_in_pass
from tests.bench.test_native_matrices import COLUMNS

SETS = [RV32IM, LX6, PIE]
PATH = "firmware/compute/pass_kernels.py"
GUARD = -0x5A5A5A5B
NATIVE, VIPER = True, False
COUNTS = range(2, MOST_POSITIONS + 1, 2)
BY_NAME = pytest.mark.parametrize("kernels", SETS, ids=lambda kernels: kernels.name)


@cache
def module(kernels: KernelSet, columns: int, is_native: bool) -> EmulatedModule:
    source = pass_source([columns], kernels.padding, (2,))
    return EmulatedModule(source, PATH, kernels.mpy_arch, kernels if is_native else None, 8)


def product(
    kernels: KernelSet, is_native: bool, weight: np.ndarray, x: np.ndarray, at: int
) -> np.ndarray:
    """What a kernel gives for weights from byte `at` on; raises AssertionError where it writes
    beside y, or changes the inputs."""
    rows, columns = weight.shape
    count = len(x)
    emulated = module(kernels, columns, is_native)
    emulated.clear()
    stored = stored_matrix(weight.astype(np.int8), kernels.padding)
    w = emulated.placed(bytes([0xA5]) * at + stored)
    y = emulated.placed(np.full((count, rows + 3), GUARD))
    apart = columns + 16 + -columns % 16  # integers from a position's inputs to the next one's
    inputs = np.full((count, apart), 32767)
    inputs[:, :columns] = x
    place = emulated.placed(inputs)
    blocks = column_blocks(columns) if kernels.padding == 1 else [(0, columns)]
    for first, wide in blocks:
        emulated.call(
            pass_name(wide, first > 0), w, count, y + 4, place + 4 * first, rows,
            at + first * rows, 4 * (rows + 3), 4 * apart,
        )  # fmt: skip
    got = emulated.int32s(y, count * (rows + 3)).reshape(count, -1)
    assert (got[:, 0] == GUARD).all() and (got[:, rows + 1 :] == GUARD).all()
    assert (emulated.int32s(place, count * apart) == inputs.reshape(-1)).all()
    return got[:, 1 : rows + 1]


def check(kernels: KernelSet, weight: np.ndarray, x: np.ndarray, at: int = 16) -> None:
    assert product(kernels, NATIVE, weight, x, at).tolist() == (x @ weight.T).tolist()


def some(
    random: np.random.Generator, rows: int, columns: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    weight = random.integers(-127, 128, (rows, columns))
    return weight, random.integers(-32768, 32768, (count, columns))


@BY_NAME
@pytest.mark.parametrize("columns", [1, 8, 17, 35, 64, 97, 130])
def test_any_number_of_columns_and_rows(kernels: KernelSet, columns: int) -> None:
    random = np.random.default_rng(columns)
    for rows in (0, 1, 2, 9):
        for count in COUNTS:
            check(kernels, *some(random, rows, columns, count))


@BY_NAME
def test_extreme_weights_and_inputs(kernels: KernelSet) -> None:
    for value in (-32768, 0, 255, 32767):
        for weight in (-127, 0, 127):
            x = np.repeat([[value], [-value - 1]], 40, axis=1)
            check(kernels, np.full((9, 40), weight), x)


@BY_NAME
@pytest.mark.parametrize("sign", [1, -1])
def test_sums_at_the_bound_of_int32(kernels: KernelSet, sign: int) -> None:
    """Wrong sums on the way may leave 32 bits; the last does not. 258 columns hold half of it, and
    twice the inputs' sum, which each pass takes off, is beyond."""
    x = np.full((2, 258), 32767)
    x[1] = -32768
    weight = np.full((9, 258), sign * 127)
    check(kernels, weight, x)


@BY_NAME
@pytest.mark.parametrize("columns", [8, 33, 64])
def test_viper_twins_compute_the_same(kernels: KernelSet, columns: int) -> None:
    random = np.random.default_rng(columns)
    for rows in (1, 2, 5):
        weight, x = some(random, rows, columns, 2)
        for is_native in (NATIVE, VIPER):
            got = product(kernels, is_native, weight, x, 32)
            assert got.tolist() == (x @ weight.T).tolist(), is_native


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.sampled_from(SETS), st.sampled_from(COLUMNS), st.integers(1, 4), st.sampled_from(COUNTS),
    st.integers(0, 2**32),
)  # fmt: skip
def test_shapes_of_models(
    kernels: KernelSet, columns: int, rows: int, count: int, seed: int
) -> None:
    if kernels is RV32IM or count <= positions_in_pass(columns):
        check(kernels, *some(np.random.default_rng(seed), rows, columns, count))


@pytest.mark.verify
@BY_NAME
@pytest.mark.parametrize("columns", COLUMNS)
def test_all_shapes_of_models(kernels: KernelSet, columns: int) -> None:
    room = MOST_POSITIONS if kernels is RV32IM else positions_in_pass(columns)
    for count in COUNTS:
        assert bool(pass_source([columns], kernels.padding, (count,))) == (count <= room)
    random = np.random.default_rng(columns)
    for rows in (1, 2, 17):
        for count in range(2, room + 1, 2):
            check(kernels, *some(random, rows, columns, count))
