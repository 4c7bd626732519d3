"""Programs and `serve` of a whole chip in the interpreters, for each set of kernels."""

from types import SimpleNamespace

import numpy as np
import pytest

from bench.chip import read_values
from bench.native import NATIVE_SETS
from bench.plans import tensor_plan
from bench.program_chip import ProgramChip
from bench.program_chips import ProgramBench
from bench.qemu.machine import EmulationError
from bench.recording import Caches, record
from host.build.machine_code.registry import PIE
from host.model.loading import load_model
from host.model.quantization.caches import narrow_caches
from host.model.quantization.quantize import quantize
from protocol.messages import PHASE_VOCABULARY
from tests.tiny_model import tiny_checkpoint

CHIPS, POSITION = 3, 2


@pytest.fixture(scope="module")
def text():
    """A model, its requests of three positions, and the caches after them."""
    model = quantize(tiny_checkpoint())
    return model, *record(model, [1], POSITION + 1)


def answers(chip: ProgramChip, asked):
    """By request, what the chip says to it, None for nothing."""
    found = []
    for index, request in enumerate(asked):
        _, answer = chip.answer(request, index)
        found.append(read_values(answer) if answer else None)
    return found


def check_answers(model, requests, caches, kernels):
    """All chips' answers at POSITION add up to the reference's."""
    asked = [request for request in requests if request.position == POSITION]
    plan = tensor_plan(model, CHIPS)
    all_chips = [
        answers(ProgramChip(model, plan, shard, kernels, caches), asked) for shard in plan.shards
    ]
    for request, *said in zip(asked, *all_chips, strict=True):
        parts = [part for part in said if part is not None]
        is_scoring = request.phase == PHASE_VOCABULARY
        got = np.concatenate(parts) if is_scoring else np.sum(parts, axis=0)
        assert np.array_equal(got, request.answer)


@pytest.mark.parametrize("kernels", NATIVE_SETS, ids=lambda kernels: kernels.name)
def test_the_machine_code_of_all_chips_gives_the_references_sums(text, kernels) -> None:
    check_answers(*text, kernels)


@pytest.mark.parametrize("kernels", NATIVE_SETS, ids=lambda kernels: kernels.name)
def test_so_does_that_of_int8_caches(text, kernels) -> None:
    model = narrow_caches(text[0])
    check_answers(model, *record(model, [1], POSITION + 1), kernels)


@pytest.mark.verify
def test_what_int8_caches_take_of_stories260k(shared_models) -> None:
    """Thousands of instructions for a token at position 128 on the busiest of five chips, by
    kernels: those in docs/how-it-works.md. The answers are checked meanwhile."""
    model, found = load_model(shared_models / "stories260K.bin").quantize(), []
    for form in (model, narrow_caches(model)):
        requests, caches = record(form, [1], 129)
        asked = [request for request in requests if request.position == 128]
        plan = tensor_plan(form, 5)
        counted = SimpleNamespace(
            model=form, measured_requests=lambda asked=asked: asked,
            federation=lambda _, plan=plan: (plan, None),
        )  # fmt: skip
        bench = ProgramBench(counted, caches)
        counts = [max(map(sum, bench._native(5, kernels))) for kernels in NATIVE_SETS]
        found.append([round(count / 1000) for count in counts])
    assert found == [[331, 255, 140], [345, 274, 176]]


def bench_of(text, around: int, caches: Caches | None = None) -> ProgramBench:
    """Of one chip, for whose every request QEMU counted `around` beside rv32im's machine code."""
    model, requests, own = text
    asked = [request for request in requests if request.position == POSITION]
    plan = tensor_plan(model, 1)
    counted = SimpleNamespace(
        model=model, measured_requests=lambda: asked,
        places=lambda: {POSITION: list(range(len(asked)))},
    )  # fmt: skip
    made = ProgramBench(counted, caches or own)
    counted.federation = lambda chips: (plan, [[]])
    native = made._native(1, NATIVE_SETS[0])
    runs = [[SimpleNamespace(instructions=n + around) for n in native[0]]]
    counted.federation = lambda chips: (plan, runs)
    return made


def test_what_micropython_does_is_added_as_counted_elsewhere(text) -> None:
    rows = list(bench_of(text, 1000).rows(1, "tiny", PIE))
    whole, machine_code = (row.value for row in rows)
    requests = sum(request.position == POSITION for request in text[1])
    assert whole == machine_code + 1000 * requests
    assert [row.label for row in rows] == ["modelled", "emulated"]


def test_wrong_sums_are_an_error(text) -> None:
    wrong = Caches(text[2].keys, text[2].values + 1)
    with pytest.raises(EmulationError, match="programs' answers are not"):
        bench_of(text, 0, wrong)
