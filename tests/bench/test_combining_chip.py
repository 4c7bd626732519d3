"""A whole chip that combines with others: the frames that come to it, and its work in QEMU."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench import bounds
from bench.combining_chip import CombiningBench
from bench.qemu.machine import EmulationError
from bench.recording import requests
from host.model.loading import load_model
from host.model.quantization.quantize import quantize
from host.wire.framing import decode_frame
from protocol.frame import SEQUENCE, SRC, TYPE
from protocol.message_types import CONTRIBUTION, STEP
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY
from tests.host.tiny import random_checkpoint
from tests.plans import tensor_plan


class _NoEmulator:
    def __init__(self, folder: object, kernels: object = None) -> None:
        pass


def test_a_step_and_all_others_contributions_come_to_a_chip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.combining_chip.Emulator", _NoEmulator)
    model = quantize(random_checkpoint())
    layers = model.config.layers
    bench = CombiningBench(model, requests(model, [1], 2), [1])
    plan = tensor_plan(model, 3, reduce="chips")
    events = bench.events(plan, plan.shards[1])
    each = 1 + 2 * layers * 2
    assert len(events) == 2 * each
    assert [event.record.measured for event in events] == [False] * each + [True] * each
    frames = [decode_frame(event.record.frame[:-1]) for event in events[each:]]
    assert [frame[TYPE] for frame in frames] == [STEP] + [CONTRIBUTION] * (each - 1)
    assert {frame[SRC] for frame in frames[1:]} == {0, 2}
    numbers = [frame[SEQUENCE] for frame in frames[1:]]
    assert numbers == sorted(list(range(2 * layers, 4 * layers)) * 2)
    done = [event.phase for event in events[each:] if event.phase is not None]
    order = [PHASE_ATTENTION, PHASE_FEED_FORWARD] * layers
    assert done == [*order, PHASE_VOCABULARY]


@pytest.mark.verify
def test_emulated_chips_that_combine_are_right_and_within_their_bounds(qemu: Path) -> None:
    rows = bounds.combining_figures(qemu)
    assert bounds.exceeded(rows, bounds.stored("combining")) == []


@pytest.mark.verify
def test_wrong_logits_are_noticed(qemu: Path) -> None:
    model = load_model(bounds.SHIPPED).quantize()
    wrong = [
        replace(request, answer=request.answer + (request.phase == PHASE_VOCABULARY))
        for request in requests(model, [1], 1)
    ]
    with pytest.raises(EmulationError, match="not the reference's"):
        next(CombiningBench(model, wrong, [0], qemu).rows(2, "home"))


@pytest.mark.verify
def test_functions_of_a_chip_that_adds_up_are_counted_apart(qemu: Path) -> None:
    model = quantize(random_checkpoint())
    bench = CombiningBench(model, requests(model, [1], 1), [0], qemu)
    plan = tensor_plan(model, 2, reduce="chips")
    measured = bench.run(plan, plan.shards[1], bench.events(plan, plan.shards[1]), inside=True)
    assert sum(each.inside.get("matvec", 0) for each in measured) > 0
