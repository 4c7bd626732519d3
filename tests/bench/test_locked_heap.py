"""Chips with native kernels take frames without the heap, even for a moment: how long finding room
takes depends on what else lies there, and is thousands of instructions at times."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench import bounds
from bench.combining_chip import CombiningBench
from bench.emulated_chip import Emulator, Record
from bench.plans import tensor_plan
from bench.recording import SESSION_KEY, requests
from host.build.machine_code.registry import RV32IM
from host.model.loading import load_model
from host.model.tokenizers.bpe import BOS
from protocol.auth import Signer
from protocol.messages import PHASE_VOCABULARY

CHIPS = 5


@pytest.mark.verify
@pytest.mark.parametrize("key", [b"", SESSION_KEY], ids=["version 2", "version 3"])
def test_requests_of_every_layer_are_answered_while_the_heap_is_locked(
    qemu: Path, key: bytes
) -> None:
    """But for the best tokens, which bytecode finds."""
    model = load_model(bounds.SHIPPED).quantize()
    signer = Signer(key) if key else None
    asked = requests(model, [BOS], 2)
    records = [
        Record(request.frame(at, signer), True, locked=request.phase != PHASE_VOCABULARY)
        for at, request in enumerate(asked)
    ]
    plan = tensor_plan(model, CHIPS, signed=bool(key))
    runs = Emulator(qemu, RV32IM).runs(model, plan, plan.shards[0], records, key=key)
    assert all(run.answer for run in runs)
    assert sum(record.locked for record in records) == 2 * 2 * model.config.layers


@pytest.mark.verify
def test_contributions_are_taken_and_made_while_the_heap_is_locked(qemu: Path) -> None:
    """All but the STEP that comes first, and the logits in the end."""
    model = load_model(bounds.SHIPPED).quantize()
    bench = CombiningBench(model, requests(model, [BOS], 2), [1], qemu, RV32IM)
    plan = tensor_plan(model, CHIPS, reduce="chips")
    events = bench.events(plan, plan.shards[0])
    first = next(at for at, event in enumerate(events) if event.record.measured)
    locked = events[first + 1 : -1]
    events[first + 1 : -1] = [
        replace(event, record=replace(event.record, locked=True)) for event in locked
    ]
    assert len(locked) == 2 * model.config.layers * (CHIPS - 1) - 1
    assert all(run.instructions for run in bench.run(plan, plan.shards[0], events))
