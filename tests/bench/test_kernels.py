"""Kernels on the emulated targets: right, and no slower than the stored bounds."""

import pytest

from bench import bounds, kernels
from bench.emulation.module import TARGETS, EmulatedModule
from bench.kernel_cases import WrongResult, attention, elementwise, grouped, matvec
from bench.native import NATIVE_SETS
from bench.results import Label, Row
from host.build.attention_kernel import PARTS, attention_kernel
from host.build.group_kernels import group_kernel
from host.build.kernels import kernel_source
from host.model.checkpoint import Config
from host.parallel.cost.kernel_costs import KERNELS
from tests.simulation.launch import REPOSITORY


def test_no_kernel_executes_more_than_its_bound() -> None:
    assert bounds.exceeded(kernels.figures_of_shapes(), bounds.stored("kernels")) == []


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("size", [2, 8, 12, 48])
def test_turns_of_several_rows_and_positions_leave_none_out(target: str, size: int) -> None:
    modules = kernels.attention_modules(size, target)
    modules["matvec"] = EmulatedModule(kernel_source([size], size), "k.py", target)
    for count in (1, 2, 3, 7, 8, 9, 31, 33):
        for case in (matvec(count, size), *attention(size, count)):
            # And right, or it would raise.
            assert kernels.figure(case, modules[case.kernel], target).value > 0


@pytest.mark.parametrize("target", TARGETS)
def test_wrong_products_are_noticed(target: str) -> None:
    source = kernel_source([64], 8).replace("w[63] * x63", "w[62] * x63")
    module = EmulatedModule(source, "k.py", target)
    with pytest.raises(WrongResult, match="^matvec: element 0 is"):
        kernels.figure(matvec(8, 64), module, target)


@pytest.mark.parametrize("target", TARGETS)
def test_wrong_sums_of_groups_are_noticed(target: str) -> None:
    source = "import micropython\n" + group_kernel(64)
    assert " + 2 >> 2" in source
    module = EmulatedModule(source.replace(" + 2 >> 2", " >> 2"), "k.py", target)
    with pytest.raises(WrongResult, match="^grouped: element"):
        kernels.figure(grouped(8, 64), module, target)


def test_plans_know_what_weights_in_groups_take() -> None:
    shape = "x".join(map(str, kernels.GROUPED))
    counted = {
        row.target: row.value
        for row in kernels.figures_of_shapes()
        if (row.name, row.shape) == ("grouped", shape)
    }
    assert {name: costs.grouped for name, costs in KERNELS.items()} == pytest.approx(
        counted, rel=0.01
    )


def test_groups_of_a_model_have_their_own_cases() -> None:
    config = Config(
        dim=64, hidden_dim=96, layers=1, heads=2, kv_heads=1, vocab_size=40, context=16,
        groups="wq wk wv w1 w3 w2",
    )  # fmt: skip
    cases = {(case.kernel, case.shape) for case in kernels.cases_of_model(config)}
    assert {case for case in cases if case[0] in ("grouped", "matvec")} == {
        *(("grouped", shape) for shape in ("128x64", "192x64", "64x96", "64x64", "64x32")),
        *(("matvec", shape) for shape in ("64x64", "40x64", "8x64")),
    }


@pytest.mark.parametrize(
    ("kernel", "right", "wrong"),
    [
        ("gate", "+ 16384 >> 15", "+ 0 >> 15"),
        ("rescale", "half = 1 << shift >> 1", "half = 0"),
        ("rotate", "+ 8192 >> 14", ">> 14"),
        ("cache_rows", "x[1] + zero", "x[1] - zero"),
        ("load_int16s", "src[7] << 24", "src[5] << 24"),
        ("store_int16s", "[3] = src[1] >> 8", "[3] = src[1] >> 7"),
    ],
)
def test_wrong_elements_are_noticed(kernel: str, right: str, wrong: str) -> None:
    source = (REPOSITORY / "firmware" / "compute" / "kernels.py").read_text()
    assert right in source
    module = EmulatedModule(source.replace(right, wrong), "k.py", "rv32imc")
    cases = {case.kernel: case for case in elementwise(64, 8)}
    with pytest.raises(WrongResult, match=f"^{kernel}: element"):
        kernels.figure(cases[kernel], module, "rv32imc")


@pytest.mark.parametrize(
    ("part", "right", "wrong"),
    [
        ("scores", "ptr16(at)[7] * h7 + acc", "ptr16(at)[7] * h6 + acc"),
        ("softmax", "(acc >> 9)", "(acc >> 9) | 1"),
        ("mean", "half = (total >> 1)", "half = 0"),
    ],
)
def test_wrong_parts_of_attention_are_noticed(part: str, right: str, wrong: str) -> None:
    source = kernel_source([8], 8)
    assert right in source
    module = EmulatedModule(source.replace(right, wrong), "k.py", "rv32imc")
    whole = {case.kernel: case for case in attention(8, 100)}
    with pytest.raises(WrongResult, match="^mean: element"):
        kernels.figure(whole["mean"], module, "rv32imc")
    alone = "import micropython\n" + attention_kernel(8, PARTS[: PARTS.index(part) + 1])
    module = EmulatedModule(alone.replace(right, wrong), "k.py", "rv32imc")
    with pytest.raises(WrongResult, match=f"^{part}: element"):
        kernels.figure(whole[part], module, "rv32imc")


def test_every_kernel_has_a_case_on_both_targets() -> None:
    config = Config(
        dim=48, hidden_dim=96, layers=1, heads=4, kv_heads=2, vocab_size=96, context=64
    )
    rows = list(kernels.figures_of_model(config, "small"))
    assert {row.target for row in rows} == {*TARGETS, *(each.name for each in NATIVE_SETS)}
    source = (REPOSITORY / "firmware" / "compute" / "kernels.py").read_text()
    defined = {line[4:].split("(")[0] for line in source.splitlines() if line.startswith("def ")}
    assert {row.name for row in rows} - {"matvec", *PARTS} == defined
    assert all(row.shape.startswith("small ") and row.value > 0 for row in rows)


def row(value: float, name: str = "gate") -> Row:
    return Row(name, "rv32imc", "64", value, "instr/element", Label.EMULATED)


def test_bounds_allow_two_percent_more() -> None:
    stored = {row(0).key: 100.0}
    assert bounds.exceeded([row(102.0)], stored) == []
    assert bounds.exceeded([row(102.1)], stored) == [f"{row(0).key}: 102.1 instead of 100.0"]
    assert bounds.exceeded([row(50.0)], stored) == []


def test_each_figure_has_a_bound_and_each_bound_a_figure() -> None:
    faults = bounds.exceeded([row(1, "new")], {row(1, "old").key: 1.0})
    assert [fault.split(": ")[1] for fault in faults] == ["has no bound", "a bound for nothing"]
