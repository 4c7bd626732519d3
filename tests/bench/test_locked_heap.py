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
from host.parallel.parallelism import FLASH, UART, Parallelism
from host.parallel.partition import partition
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


@pytest.mark.verify
def test_chips_that_read_blocks_take_contributions_while_the_heap_is_locked(qemu: Path) -> None:
    """In few instructions; bytecode, which computes when a sum is complete, leaves nothing."""
    model = load_model(bounds.SHIPPED).quantize()
    # In two positions, all that is kept of the partition's parts is made.
    bench = CombiningBench(model, requests(model, [BOS], 3), [2], qemu, RV32IM)
    plan = partition(
        model, CHIPS, parallelism=Parallelism(reduce="chips", weights=FLASH), link=UART,
        flash=(1 << 22,) * CHIPS,
    )  # fmt: skip
    events = bench.events(plan, plan.shards[0])
    records, taken = [], []
    for event in events:
        is_locked = event.record.measured and event.phase is None
        if is_locked:
            taken.append(sum(record.measured for record in records))
        records.append(replace(event.record, locked=is_locked))
        if event.phase is not None:  # then what is left of the line is taken in
            records.append(Record(b"", event.record.measured, on_radio=True))
    runs = Emulator(qemu, RV32IM).runs(model, plan, plan.shards[0], records)
    assert len(taken) == 2 * model.config.layers * (CHIPS - 2)
    assert max(runs[at].instructions for at in taken) < 7_000
    assert not any(run.allocated for run in runs[1:-2])
    assert len({run.answer for run in runs}) == 2 * model.config.layers + 2  # and none
