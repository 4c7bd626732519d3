"""Kernels for matrices in groups of four bits, emulated as boards execute them, against numpy."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.emulation.module import TARGETS, EmulatedModule
from firmware import proof
from host.build.coarser_kernel import with_coarser
from host.build.group_kernels import group_kernel, group_kernel_name, stored_groups
from host.build.kernels import kernel_source
from host.build.machine_code.registry import LX6, PIE, RV32IM, KernelSet
from host.model.arithmetic import grouped_matvec
from host.model.groups import COLUMNS, MOST_LEAST, MOST_WEIGHT, unpack
from host.parallel.heap import GROUPS_CODE
from protocol.shard_layout import PAIRS, VECTORS
from tests.host.grouped_models import draw_packed
from tests.simulation.launch import REPOSITORY

GUARD = -0x5A5A5A5B
PATH = "firmware/compute/model_kernels.py"


# viper's code, and machine code of this project.
CODES = [*TARGETS, RV32IM, LX6, PIE]


@cache
def module(columns: int, code: str | KernelSet) -> EmulatedModule:
    source = "import micropython\n" + group_kernel(columns)
    if isinstance(code, str):
        return EmulatedModule(source, PATH, code)
    found = EmulatedModule(source, PATH, code.mpy_arch, code, 8)
    assert found.native == {group_kernel_name(columns)}
    return found


def product(code: str | KernelSet, weight: np.ndarray, x: np.ndarray, at: int) -> list[int]:
    """What a kernel gives for weights from byte `at` on; it writes nothing beside y."""
    rows, columns = weight.shape
    emulated = module(columns, code)
    emulated.clear()
    y = emulated.placed(np.full(rows + 2, GUARD))
    weights = emulated.placed(bytes([0xA5]) * at + stored_groups(weight))
    x_at = emulated.placed(np.append(x, [7, -7, 32767, -32768]))
    emulated.call(group_kernel_name(columns), weights, 0, y + 4, x_at, rows, at)
    got = emulated.int32s(y, rows + 2)
    assert got[0] == got[-1] == GUARD
    return list(map(int, got[1:-1]))


def check(code: str | KernelSet, weight: np.ndarray, x: np.ndarray, at: int = 16) -> None:
    assert product(code, weight, x, at) == grouped_matvec(weight, x[None])[0].tolist()


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.sampled_from(CODES), st.integers(0, 9), st.integers(1, 4), st.integers(0, 2),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_products_are_numpys(
    code: str | KernelSet, rows: int, groups: int, place: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    x = random.integers(-32768, 32768, groups * COLUMNS)
    check(code, unpack(*draw_packed(random, rows, groups)), x, 16 * place)


@pytest.mark.parametrize("code", CODES, ids=lambda code: getattr(code, "name", code))
@pytest.mark.parametrize("x", [-32768, -1, 0, 1, 32767])
def test_extreme_weights_and_inputs(code: str | KernelSet, x: int) -> None:
    weights = [-MOST_LEAST, MOST_WEIGHT, -1, 0, 1]
    weight = np.repeat(np.array(weights, np.int16)[:, None], 2 * COLUMNS, axis=1)
    check(code, weight, np.full(2 * COLUMNS, x))
    weight[:, ::2] = -MOST_LEAST
    weight[:, 1::2] = -MOST_LEAST + 15 * 63
    check(code, weight, np.where(np.arange(2 * COLUMNS) % 2, x, min(-x, 32767)))


@pytest.mark.parametrize(("code", "groups"), [(RV32IM, 31), (LX6, 59), (PIE, 59)])
def test_as_many_columns_as_there_is_a_stack_for(code: KernelSet, groups: int) -> None:
    """With more, a chip runs viper's code."""
    random = np.random.default_rng(groups)
    weight = unpack(*draw_packed(random, 5, groups))
    check(code, weight, random.integers(-32768, 32768, groups * COLUMNS))
    with pytest.raises(AssertionError):
        module((groups + 1) * COLUMNS, code)


@pytest.mark.parametrize("padding", [1, PAIRS, VECTORS])
def test_a_chip_proves_them_on_whole_aligned_rows(padding: int) -> None:
    """With the same numbers all kernels give the same: any bytes are weights in groups."""
    for seed in range(1, 5):
        for weights, _, y, x, rows, at in proof._cases("matvec_groups_64", 8, padding, seed):
            assert at % 16 == 0 and len(x) == 64 and len(weights) >= at + rows * 2 * 18
            found = []
            for code in CODES:
                emulated = module(64, code)
                emulated.clear()
                out = emulated.placed(np.array(y))
                places = [emulated.placed(bytes(weights)), 0, out, emulated.placed(np.array(x))]
                emulated.call("matvec_groups_64", *places, rows, at)
                found.append(emulated.int32s(out, rows).tolist())
            assert found.count(found[0]) == len(CODES)


@pytest.mark.parametrize("kernels", [RV32IM, LX6, PIE], ids=lambda kernels: kernels.name)
def test_plans_count_what_they_add_to_machine_code(kernels: KernelSet) -> None:
    """To that of four matrices in int8, with what makes a residual stream coarser."""

    def size(path: str, source: str) -> int:
        made = EmulatedModule(source, path, kernels.mpy_arch, kernels, 64)
        return sum(len(function.code) for function in made._functions.values())

    norms = "firmware/compute/norms.py"
    source = (REPOSITORY / norms).read_text()
    coarser = size(norms, with_coarser(source)) - size(norms, source)
    for columns in (64, 576):
        int8, groups = (
            size(PATH, kernel_source([32, of], 64, kernels.padding)) for of in (columns, -columns)
        )
        assert 4 * (groups - int8) + coarser <= GROUPS_CODE
