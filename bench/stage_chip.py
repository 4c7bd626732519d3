"""Instructions that the chips of a pipeline execute for a token: each is a stage of whole layers.

The chip, emulated, is handed the STEP of the stage before and the acknowledgement of what it made
of the last one. What it hands over is checked against the reference in the same run.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.chip import counted
from bench.emulated_chip import FOLDER, TARGET, Emulator, Measured, Record
from bench.qemu.machine import EmulationError
from bench.recording import SEQUENCE_ID, SESSION_KEY, Request, line_frame
from bench.results import Label, Row
from host.build.machine_code.registry import KernelSet
from host.model.arithmetic import Ints, add_residual
from host.model.quantized import QuantizedModel
from host.parallel.parallelism import Link, pipeline
from host.parallel.partition import partition
from host.parallel.plan import Plan, Shard, Stage
from host.wire.framing import decode_frame
from host.wire.payloads import decode_logits, encode_step
from protocol.auth import Signer
from protocol.bitunpack import unpack
from protocol.frame import HEADER_SIZE, HOST, SRC, TYPE, verify_frame
from protocol.message_types import ACK, LOGITS, STEP
from protocol.messages import (
    LAYER,
    PHASE_ATTENTION,
    PHASE_VOCABULARY,
    REQUEST_SIZE,
    STEP_BITS,
    STEP_DATA,
    WANTS_LOGITS,
)

_EACH = 2  # frames a token: a STEP, and the acknowledgement of what was made of it


class StageBench:
    """Runs stages of pipelines of one model over the tokens of recorded requests."""

    def __init__(
        self,
        model: QuantizedModel,
        requests: Sequence[Request],
        measured: Iterable[int],
        folder: Path = FOLDER,
        *,
        signed: bool = False,
        kernels: KernelSet | None = None,
    ) -> None:
        """measured: the positions to tell of, from some position to the last; signed: with frames
        of version 3, not 2; kernels: machine code in place of viper's. Raises SetupError where
        QEMU cannot be had."""
        self._model, self._measured, self._signed = model, sorted(measured), signed
        self._residuals = list(_residuals(model, requests))
        self._logits = [r.answer for r in requests if r.phase == PHASE_VOCABULARY]
        self._emulator = Emulator(folder, kernels)
        self._target = kernels.name if kernels else TARGET

    def plan(self, chips: int) -> Plan:
        """A pipeline of so many chips."""
        link = Link("uart", "pins", None, self._signed)
        return partition(self._model, chips, parallelism=pipeline(chips), link=link)

    def rows(self, chips: int, name: str) -> Iterator[Row]:
        """Instructions a token of the busiest of so many stages, and what all stages take
        together. Raises EmulationError."""
        plan = self.plan(chips)
        runs = [self.run(plan, stage) for stage in plan.stages]
        signed = " signed" * self._signed
        for i, position in enumerate(self._measured):
            at = slice(_EACH * i, _EACH * (i + 1))
            totals = [sum(each.instructions for each in run[at]) for run in runs]
            allocated = [sum(each.allocated for each in run[at]) for run in runs]
            shape = f"{name} {counted(chips)} in stages{signed} position {position}"
            for what, value, unit in (
                ("chip", max(totals), "instr/token"),
                ("chip: all stages", sum(totals), "instr/token"),
                ("chip: allocated", max(allocated), "bytes/token"),
            ):
                yield Row(what, self._target, shape, value, unit, Label.EMULATED)

    def run(self, plan: Plan, stage: Stage, locked: bool = False) -> list[Measured]:
        """What a stage's chip did for each frame of the measured positions; locked: whether what
        allocates memory meanwhile fails."""
        (chip,) = stage.chips
        shard = plan.shards[chip]
        records = self.records(plan, stage, locked)
        key = SESSION_KEY if self._signed else b""
        runs = self._emulator.runs(self._model, plan, shard, records, key=key)
        for i, position in enumerate(self._measured):
            self._check(plan, shard, stage.layers, position, runs[_EACH * i].answer)
        return runs

    def records(self, plan: Plan, stage: Stage, locked: bool = False) -> list[Record]:
        """All frames that come to a stage's chip."""
        at = plan.stages.index(stage)
        before = plan.stages[at - 1].chips[0] if at else HOST
        behind = HOST if stage is plan.stages[-1] else plan.stages[at + 1].chips[0]
        senders = {source: Signer(SESSION_KEY) for source in (before, behind)}
        made = []
        for position, residual in enumerate(self._residuals):
            measured = position in self._measured
            payload = encode_step(
                SEQUENCE_ID, WANTS_LOGITS, position, 1, position + 1,
                residual[stage.layers.start].tolist(),
            )  # fmt: skip
            # What encode_step leaves to those that know the stage.
            step = bytearray(payload)
            step[LAYER - HEADER_SIZE] = stage.layers.start
            sound = bytes(step[:REQUEST_SIZE])
            for kind, source, content in (
                (STEP, before, bytes(step)), (ACK, behind, sound + b"\0\0")
            ):  # fmt: skip
                signer = senders[source] if self._signed else None
                frame = line_frame(kind, source, position + 1, content, signer)
                collects = kind == STEP and position + 1 in self._measured
                made.append(Record(frame, measured, collects, locked=locked and measured))
        return made

    def _check(
        self, plan: Plan, shard: Shard, layers: range, position: int, encoded: bytes
    ) -> None:
        """Raises EmulationError unless a chip acknowledged a STEP, and made of it what the
        reference does."""
        frames = [bytearray(decode_frame(part) or b"") for part in encoded.split(b"\0")[:-1]]
        kinds = [frame[TYPE] for frame in frames]
        if kinds != [ACK, LOGITS if shard.rows else STEP]:
            raise EmulationError(f"position {position}: chip {shard.chip} sends types {kinds}")
        signer = Signer(SESSION_KEY) if self._signed else None
        sizes = [verify_frame(frame, len(frame), signer) for frame in frames]
        output = frames[1]
        if shard.rows:
            payload = decode_logits(bytes(output[HEADER_SIZE : HEADER_SIZE + sizes[1]]))
            got = np.frombuffer(payload.data, "<i2").astype(np.int64)
            expected = self._logits[position]
        else:
            values = array("i", [0] * self._model.config.dim)
            unpack(output, STEP_DATA, values, len(values), output[STEP_BITS])
            got, expected = np.array(values), self._residuals[position][layers.stop]
        if output[SRC] != shard.chip or not np.array_equal(got, expected):
            raise EmulationError(
                f"position {position}: the output of emulated chip {shard.chip} is not the"
                " reference's"
            )


def _residuals(model: QuantizedModel, requests: Sequence[Request]) -> Iterator[list[Ints]]:
    """For each position the residual stream [dim] before each layer, and after the last."""
    made: list[Ints] = []
    for request in requests:
        if request.phase == PHASE_VOCABULARY:
            yield made
            made = []
            continue
        layer = model.layers[request.layer]
        if request.phase == PHASE_ATTENTION:
            residual = made[-1] if made else model.embedding[request.token].astype(np.int64)
            made += [] if made else [residual]
            residual = add_residual(residual, request.answer, layer.o.rescale)
        else:
            residual = add_residual(residual, request.answer, layer.down.rescale)
            made.append(residual)
