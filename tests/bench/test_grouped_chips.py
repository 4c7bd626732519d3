"""Whole chips with weights in groups of four bits, emulated: they are right, and take as many
instructions as the model of time was compared with."""

from pathlib import Path

import pytest

from bench.bounds import SLACK
from bench.chip import ChipBench, counted
from bench.program_chips import ProgramBench
from bench.recording import record
from host.build.machine_code.registry import LX6, PIE, RV32IM, KernelSet
from host.model.quantized import QuantizedModel
from host.model.tokenizers.bpe import BOS
from tests.host.test_instructions import GROUPED, wider_in_groups

POSITION = 16


def bench_of(model: QuantizedModel, folder: Path, kernels: KernelSet | None) -> ChipBench:
    recorded, _ = record(model, [BOS], POSITION + 1)
    return ChipBench(model, recorded, [POSITION], folder, kernels=kernels)


@pytest.mark.verify
@pytest.mark.parametrize("kernels", [RV32IM, None], ids=["native", "viper"])
def test_micropython_takes_as_many_instructions_as_plans_were_compared_with(
    qemu: Path, kernels: KernelSet | None
) -> None:
    """The sums of all chips are the reference's, or the bench would raise."""
    bench = bench_of(wider_in_groups(), qemu, kernels)
    target = kernels.name if kernels else "rv32imc"
    for chips in (1, 3):
        total = next(row for row in bench.rows(chips, "groups") if row.name == "chip")
        assert total.value / SLACK < GROUPED[target, chips] < total.value * SLACK


@pytest.mark.verify
@pytest.mark.parametrize("chips", [1, 3])
@pytest.mark.parametrize("kernels", [LX6, PIE], ids=lambda kernels: kernels.name)
def test_programs_of_an_esp32_and_an_s3_are_right(
    qemu: Path, kernels: KernelSet, chips: int
) -> None:
    model = wider_in_groups()
    caches = record(model, [BOS], POSITION + 1)[1]
    bench = ProgramBench(bench_of(model, qemu, RV32IM), caches)
    rows = {row.name: row for row in bench.rows(chips, "groups", kernels)}
    assert rows["chip: machine code"].value < rows["chip"].value < GROUPED["rv32im", chips]
    assert rows["chip"].shape == f"groups {counted(chips)} position {POSITION}"
