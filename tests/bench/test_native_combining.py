"""Whole chips that add up among themselves, in QEMU: with native kernels they send what they send
without, whatever comes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import bounds
from bench.combining_chip import CombiningBench
from bench.emulated_chip import Emulator, Record, radio_frames
from bench.recording import SESSION_KEY, requests
from host.build.machine_code.registry import RV32IM, KernelSet
from host.model.loading import load_model
from host.model.quantized import QuantizedModel
from host.model.tokenizers.bpe import BOS
from host.parallel import flash
from host.parallel.parallelism import FLASH, FLASH_MAPPED, HEAP, Link, Parallelism
from host.parallel.partition import partition
from host.parallel.plan import Plan
from host.wire.framing import decode_frame, encode_frame
from protocol.auth import Signer
from protocol.frame import (
    DST,
    HEADER_SIZE,
    HOST,
    LENGTH,
    SRC,
    TRAILER_SIZE,
    TYPE,
    VERSION,
    append_trailer,
)
from protocol.message_types import STEP
from protocol.messages import (
    COUNT,
    LAYER,
    POSITION,
    SEQUENCE_ID,
    STEP_WANTS,
    WANTS_BEST,
    WANTS_LOGITS,
    WANTS_NOTHING,
)

_CHIPS, _TOKENS, _READ = 3, 2, 256
_BLOCK = 512  # bytes: with larger ones each matrix would be one block


def plan_of(
    model: QuantizedModel, weights: str, is_signed: bool = False, mtu: int | None = None
) -> Plan:
    """Chips that add up, with weights in their heaps or in flash."""
    return partition(
        model, _CHIPS, parallelism=Parallelism(reduce="chips", weights=weights),
        link=Link("espnow" if mtu else "uart", "pins", mtu, is_signed),
        flash=() if weights == HEAP else (1 << 22,) * _CHIPS,
    )  # fmt: skip


class Senders:
    """The host and all chips, who sign what they send where there is a key."""

    def __init__(self, key: bytes) -> None:
        self._signers = {
            source: Signer(key, _CHIPS) if key else None for source in (HOST, *range(_CHIPS))
        }
        self._forger = Signer(key + b"?", _CHIPS) if key else None

    def line(
        self, frame: bytes, changes: dict[int, int] | None = None, forged: bool = False
    ) -> bytes:
        """The frame as `made` has it, as it is on the line."""
        return encode_frame(self.made(frame, changes, forged))

    def made(
        self, frame: bytes, changes: dict[int, int] | None = None, forged: bool = False
    ) -> bytes:
        """The frame with other fields; forged: under another key."""
        made = bytearray(frame) + bytes(TRAILER_SIZE[3])
        for place, value in (changes or {}).items():
            made[place] = value & 0xFF
        signer = self._forger if forged else self._signers[made[SRC]]
        made[VERSION] = 3 if signer else 2
        size = append_trailer(made, made[LENGTH] | made[LENGTH + 1] << 8, signer)
        return bytes(made[:size])


def frames_of(bench: CombiningBench, plan: Plan, sequence: int) -> list[bytes]:
    """All that comes to the first chip in a text, without trailers."""
    frames = []
    for event in bench.events(plan, plan.shards[0]):
        frame = bytearray(decode_frame(event.record.frame[:-1]) or b"")
        frame[SEQUENCE_ID], frame[SEQUENCE_ID + 1] = sequence & 255, sequence >> 8  # or epoch
        if frame[TYPE] == STEP:
            frame[STEP_WANTS] = (WANTS_LOGITS, WANTS_BEST, WANTS_NOTHING)[frame[POSITION] % 3]
        frames.append(bytes(frame[: HEADER_SIZE + (frame[LENGTH] | frame[LENGTH + 1] << 8)]))
    return frames


def disturbed(frames: list[bytes], senders: Senders, random: np.random.Generator) -> list[bytes]:
    """What is read from the line at a time: all frames, others among them."""
    reads, joined = [], b""
    for frame in frames:
        damaged = bytearray(senders.line(frame)[:-1])
        damaged[random.integers(len(damaged))] = 1 + random.integers(255)
        other = [
            bytes(damaged) + b"\0",
            senders.line(frame, {DST: 1}),  # for another chip
            senders.line(frame, {SRC: 0}),  # in this one's own name
            senders.line(frame, forged=True),
            b"\0\0" + senders.line(frame)[: random.integers(9)] + b"\0",
        ]
        if frame[TYPE] == STEP:
            if joined:
                reads.append(joined)
                joined = b""
            other = [
                senders.line(frame, {COUNT: 2}), senders.line(frame, {LAYER: 1}),
                senders.line(frame, {POSITION: frame[POSITION] + 9}), bytes(damaged) + b"\0",
            ]  # fmt: skip
        if random.random() < 0.3:
            reads.append(other[random.integers(len(other))])
        line = senders.line(frame)
        cut = int(random.integers(len(line)))
        match random.integers(5):
            case 0:
                reads += [line[:cut], line[cut:]]
            case 1:
                reads += [line, line]  # sent again as it was
            case 2:
                reads += [line, senders.line(frame)]  # and as the protocol does it
            case 3 if frame[TYPE] != STEP and len(joined) + len(line) <= _READ:
                joined += line
                continue
            case _:
                reads.append(line)
        if joined:
            # Of these one or the other comes first, and late.
            reads.append(joined)
            joined = b""
    return [*reads, joined] if joined else reads


def sent(
    qemu: Path, plan: Plan, lines: list[bytes], key: bytes, kernels: KernelSet | None
) -> bytes:
    """All that the first chip writes to the line."""
    model = load_model(bounds.SHIPPED).quantize()
    records = []
    for line in lines:
        records.append(Record(line))
        # It has one frame a poll, or all that a read brings but for what bytecode computes in
        # between. Nothing comes with the others.
        records += [Record(b"", on_radio=True)] * 6 + [Record(b"", measured=True, on_radio=True)]
    emulator = Emulator(qemu, kernels)
    runs = emulator.runs(model, plan, plan.shards[0], records, key=key)
    in_blocks = ", no programs: weights are read in blocks" * (plan.parallelism.weights == FLASH)
    assert emulator.started == (f"exchanging{in_blocks}" if kernels else "")
    return b"".join(run.answer for run in runs)


@pytest.mark.verify
@pytest.mark.timeout(600)
@pytest.mark.parametrize("key", [b"", SESSION_KEY], ids=["version 2", "version 3"])
@pytest.mark.parametrize("weights", [HEAP, FLASH, FLASH_MAPPED])
def test_whatever_comes_is_combined_as_without_native_kernels(
    qemu: Path, monkeypatch: pytest.MonkeyPatch, weights: str, key: bytes
) -> None:
    """Frames that are cut, damaged, forged, repeated, another chip's or of nobody among sound
    ones, in one read and in several; answers of all kinds, of two sequences."""
    monkeypatch.setattr(flash, "BLOCK", _BLOCK)
    model = load_model(bounds.SHIPPED).quantize()
    plan = plan_of(model, weights, bool(key))
    assert (plan.block(0) > 0) == (weights != HEAP)
    bench = CombiningBench(model, requests(model, [BOS], _TOKENS), range(_TOKENS), qemu)
    random, senders = np.random.default_rng(5), Senders(key)
    lines = []
    for sequence in (7, 8):
        lines += disturbed(frames_of(bench, plan, sequence), senders, random)
    viper, native = (sent(qemu, plan, lines, key, kernels) for kernels in (None, RV32IM))
    assert native == viper
    answers = [
        frame
        for encoded in native.split(b"\0")
        if (frame := decode_frame(encoded)) and frame[DST] == HOST
    ]
    assert len(answers) >= 2 * _TOKENS


def on_air(
    frames: list[bytes], senders: Senders, random: np.random.Generator
) -> list[Record]:
    """What comes to a gateway: STEPs on its line, contributions on the air, some of them forged,
    damaged or twice."""
    records: list[Record] = []
    for frame in frames:
        if frame[TYPE] == STEP:
            records.append(Record(senders.line(frame)))
            continue
        came = [senders.made(frame)]
        match random.integers(9):
            case 0:
                came.insert(0, senders.made(frame, forged=True))
            case 1:
                damaged = bytearray(came[0])
                damaged[random.integers(len(damaged))] ^= 1 << random.integers(8)
                came.insert(0, bytes(damaged))
            case 2:
                came *= 2
            case 3:
                came.append(senders.made(frame))
        # A gateway takes one in a poll.
        records += [Record(radio_frames([each]), on_radio=True) for each in came]
    return records


@pytest.mark.verify
@pytest.mark.timeout(600)
@pytest.mark.parametrize("key", [b"", SESSION_KEY], ids=["version 2", "version 3"])
@pytest.mark.parametrize("weights", [HEAP, FLASH])
def test_a_gateway_combines_what_comes_on_the_air_as_without_native_kernels(
    qemu: Path, monkeypatch: pytest.MonkeyPatch, weights: str, key: bytes
) -> None:
    monkeypatch.setattr(flash, "BLOCK", _BLOCK)
    model = load_model(bounds.SHIPPED).quantize()
    plan = plan_of(model, weights, bool(key), 250)
    bench = CombiningBench(model, requests(model, [BOS], _TOKENS), range(_TOKENS), qemu)
    random, senders, records = np.random.default_rng(8), Senders(key), []
    for record in on_air(frames_of(bench, plan, 7), senders, random):
        records += [replace(record, measured=True)]
        records += [Record(b"", measured=True, on_radio=True)] * 2
    written = []
    for kernels in (None, RV32IM):
        emulator = Emulator(qemu, kernels)
        runs = emulator.runs(model, plan, plan.shards[0], records, key=key)
        assert emulator.started.startswith("exchanging" if kernels else "")
        written.append([run.radio.sent for run in runs if run.radio])
        # What the line had last is reported until it has something else.
        written.append([run.answer for run in runs[::3]])
    viper, answers, *native = written
    assert native == [viper, answers]
    assert len(b"".join(viper)) > 2 * _TOKENS * model.config.layers * 60
    assert sum(map(bool, answers)) >= _TOKENS
