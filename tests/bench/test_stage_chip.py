"""A whole chip that is a stage of a pipeline: the frames that come to it, and its work in QEMU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import bounds
from bench.emulated_chip import Emulator, Record, radio_frames
from bench.qemu.machine import EmulationError
from bench.recording import SESSION_KEY, line_frame, requests
from bench.stage_chip import StageBench
from host.build.machine_code.registry import RV32IM, KernelSet
from host.model.loading import load_model
from host.model.quantization.quantize import quantize
from host.model.tokenizers.bpe import BOS
from host.parallel.parallelism import FLASH_MAPPED, HEAP, Link, hybrid, pipeline
from host.parallel.partition import partition
from host.parallel.plan import Plan
from host.wire.framing import decode_frame
from protocol.auth import Signer
from protocol.frame import HEADER_SIZE, HOST, LENGTH, SEQUENCE, SRC, TYPE
from protocol.message_types import ACK, STEP
from protocol.messages import COUNT, LAYER, POSITION, STEP_NUMBER
from tests.host.tiny import random_checkpoint

_CHIPS, _TOKENS = 3, 4


class _NoEmulator:
    def __init__(self, folder: object, kernels: object = None) -> None:
        pass


def test_a_step_and_an_acknowledgement_come_to_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.stage_chip.Emulator", _NoEmulator)
    model = quantize(random_checkpoint())
    bench = StageBench(model, requests(model, [1], 3), [2])
    plan = bench.plan(2)
    for stage, sources in zip(plan.stages, [(HOST, 1), (0, HOST)], strict=True):
        records = bench.records(plan, stage)
        assert [record.measured for record in records] == [False] * 4 + [True] * 2
        frames = [decode_frame(record.frame[:-1]) for record in records]
        assert [frame[TYPE] for frame in frames] == [STEP, ACK] * 3
        assert [frame[SRC] for frame in frames] == [*sources] * 3
        for position, frame in enumerate(frames[::2]):
            assert (frame[LAYER], frame[POSITION]) == (stage.layers.start, position)
            assert frame[STEP_NUMBER] == frame[SEQUENCE] == position + 1


@pytest.mark.verify
def test_emulated_stages_are_right_and_within_their_bounds(qemu: Path) -> None:
    rows = list(bounds.stage_figures(qemu))
    assert bounds.exceeded(rows, bounds.stored("stages")) == []
    assert [row.value for row in rows if row.name == "chip: allocated"] == [0, 0]


@pytest.mark.verify
@pytest.mark.parametrize("signed", [False, True], ids=["version 2", "version 3"])
def test_stages_leave_the_heap_alone(qemu: Path, signed: bool) -> None:
    """What would allocate, if only for a moment, fails."""
    model = load_model(bounds.SHIPPED).quantize()
    recorded = requests(model, [BOS], 3)
    bench = StageBench(model, recorded, [2], qemu, signed=signed, kernels=RV32IM)
    plan = bench.plan(_CHIPS)
    for stage in plan.stages:
        assert len(bench.run(plan, stage, locked=True)) == 2


@pytest.mark.verify
def test_wrong_outputs_are_noticed(qemu: Path) -> None:
    model = load_model(bounds.SHIPPED).quantize()
    wrong = [
        replace(request, answer=request.answer + (request.layer == 1))
        for request in requests(model, [1], 1)
    ]
    bench = StageBench(model, wrong, [0], qemu)
    plan = bench.plan(_CHIPS)
    bench.run(plan, plan.stages[-1])
    with pytest.raises(EmulationError, match="not the reference's"):
        bench.run(plan, plan.stages[0])


class Senders:
    """All that send to a stage, who sign where there is a key."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._signers: dict[int, Signer] = {}

    def line(self, frame: bytes, changes: dict[int, int] | None = None) -> bytes:
        """A frame with other fields, as it is on the line."""
        made = bytearray(frame)
        for place, value in (changes or {}).items():
            made[place] = value & 0xFF
        signer = self._signers.setdefault(made[SRC], Signer(self._key)) if self._key else None
        length = made[LENGTH] | made[LENGTH + 1] << 8
        sequence = made[SEQUENCE] | made[SEQUENCE + 1] << 8
        payload = bytes(made[HEADER_SIZE : HEADER_SIZE + length])
        return line_frame(made[TYPE], made[SRC], sequence, payload, signer)


def disturbed(frames: list[bytes], senders: Senders, random: np.random.Generator) -> list[bytes]:
    """What is read from the line at a time: all frames, some cut, damaged, repeated, late or for
    another position or layer besides."""
    reads: list[bytes] = []
    late: list[bytes] = []
    for frame in frames:
        line = senders.line(frame)
        damaged = bytearray(line[:-1])
        damaged[random.integers(len(damaged))] = 1 + random.integers(255)
        match random.integers(6):
            case 0:
                cut = int(random.integers(1, len(line)))
                reads += [line[:cut], line[cut:]]
            case 1:
                reads += [line, line]
            case 2:
                reads += [line, senders.line(frame)]
            case 3:
                reads += [bytes(damaged) + b"\0", senders.line(frame)]
            case 4 if frame[TYPE] == STEP:
                wrong = {COUNT: 2} if random.random() < 0.5 else {LAYER: 7}
                reads += [senders.line(frame, wrong), senders.line(frame)]
            case 4:
                late.append(frame)  # an acknowledgement that comes behind the next STEP
                continue
            case _:
                reads.append(line)
        if frame[TYPE] == STEP and late:
            reads += [senders.line(each) for each in late]
            late = []
    return reads


def sent(
    qemu: Path, plan: Plan, chip: int, records: list[Record], key: bytes, kernels: KernelSet | None
) -> bytes:
    """All that a chip sends, on the line and on the radio."""
    model = load_model(bounds.SHIPPED).quantize()
    polls = []
    for record in records:
        polls += [replace(record, measured=True)]
        polls += [Record(b"", measured=True, on_radio=True)] * 3
    emulator = Emulator(qemu, kernels)
    runs = emulator.runs(model, plan, plan.shards[chip], polls, key=key)
    assert emulator.started == ("exchanging" if kernels else "")
    # What the line had last is reported until it has something else.
    said = b""
    for run, following in zip(runs, [*polls[1:], Record(b"")], strict=True):
        said += b"" if following.on_radio else run.answer
        said += run.radio.sent if run.radio else b""
    return said


def frames_of(plan: Plan, stage: int, qemu: Path) -> list[bytes]:
    """All that comes to a stage in a text, with trailers of version 2."""
    model = load_model(bounds.SHIPPED).quantize()
    bench = StageBench(model, requests(model, [BOS], _TOKENS), range(_TOKENS), qemu)
    records = bench.records(plan, plan.stages[stage])
    return [bytes(decode_frame(record.frame[:-1]) or b"") for record in records]


@pytest.mark.verify
@pytest.mark.timeout(600)
@pytest.mark.parametrize("key", [b"", SESSION_KEY], ids=["version 2", "version 3"])
@pytest.mark.parametrize("stage", [1, 2], ids=["amid", "last"])
def test_whatever_comes_a_stage_sends_what_it_sends_without_native_kernels(
    qemu: Path, stage: int, key: bytes
) -> None:
    model = load_model(bounds.SHIPPED).quantize()
    link = Link("uart", "pins", None, bool(key))
    plan = partition(model, _CHIPS, parallelism=pipeline(_CHIPS), link=link)
    random, senders = np.random.default_rng(7 + stage), Senders(key)
    reads = disturbed(frames_of(plan, stage, qemu), senders, random)
    records = [Record(read) for read in reads]
    viper, native = (sent(qemu, plan, stage, records, key, each) for each in (None, RV32IM))
    assert native == viper
    assert native.count(b"\0") >= 2 * _TOKENS


@pytest.mark.verify
@pytest.mark.timeout(600)
@pytest.mark.parametrize("key", [b"", SESSION_KEY], ids=["version 2", "version 3"])
def test_a_stage_with_a_radio_sends_what_it_sends_without_native_kernels(
    qemu: Path, key: bytes
) -> None:
    """The first one is the gateway: STEPs come on its line, acknowledgements on the air."""
    model = load_model(bounds.SHIPPED).quantize()
    link = Link("espnow", "pins", 250, bool(key))
    plan = partition(model, _CHIPS, parallelism=pipeline(_CHIPS), link=link)
    senders, records = Senders(key), []
    for frame in frames_of(plan, 0, qemu):
        line = senders.line(frame)
        is_step = frame[TYPE] == STEP
        radio = radio_frames([bytes(decode_frame(line[:-1]) or b"")])
        records.append(Record(line if is_step else radio, on_radio=not is_step))
    viper, native = (sent(qemu, plan, 0, records, key, each) for each in (None, RV32IM))
    assert native == viper
    assert len(native) > _TOKENS * 60


@pytest.mark.verify
@pytest.mark.timeout(600)
@pytest.mark.parametrize("weights", [HEAP, FLASH_MAPPED])
def test_stages_of_groups_prove_their_machine_code(qemu: Path, weights: str) -> None:
    """Two chips a stage: the STEP of one is for both of the next."""
    model = load_model(bounds.SHIPPED).quantize()
    link, parallelism = Link("uart", "pins", None, False), replace(hybrid(2), weights=weights)
    room = 0 if weights == HEAP else 1 << 22
    plan = partition(model, 4, parallelism=parallelism, link=link, flash=(room,) * 4)
    senders = Senders(b"")
    records = [Record(senders.line(frame)) for frame in frames_of(plan, 0, qemu)]
    for chip in (0, 1):
        viper, native = (sent(qemu, plan, chip, records, b"", each) for each in (None, RV32IM))
        assert native == viper and native
