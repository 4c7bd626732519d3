"""Counts the instructions that a whole chip executes for a token if chips add up partial sums
themselves.

The emulated chip receives each STEP and the contributions of the other chips, which numpy computes
with their shards. Its answers are compared with the reference in the same run.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.chip import counted
from bench.emulated_chip import FOLDER, TARGET, Emulator, Measured, Record
from bench.plans import tensor_plan
from bench.qemu.machine import EmulationError
from bench.recording import SEQUENCE_ID, Request, line_frame
from bench.results import Label, Row
from host.build.machine_code.registry import KernelSet
from host.model.arithmetic import Ints
from host.model.quantized import QuantizedModel
from host.parallel.plan import Plan, Shard
from host.parallel.sharded_model import ShardedModel
from host.wire.framing import decode_frame
from host.wire.payloads import decode_logits, encode_step
from protocol.collective import Collective
from protocol.frame import HEADER_SIZE, HOST, MAX_FRAME, verify_frame
from protocol.message_types import STEP
from protocol.messages import PHASE_ATTENTION, PHASE_VOCABULARY, WANTS_LOGITS, WANTS_NOTHING

_ROOM = MAX_FRAME - HEADER_SIZE - 12  # of a contribution on a serial line


@dataclass(frozen=True)
class Event:
    """A frame for a chip. phase: of the work that it starts, PHASE_VOCABULARY for the end of a
    step, None if it only brings a part of a sum; layer: of that work."""

    record: Record
    phase: int | None
    layer: int = 0


class CombiningBench:
    """Runs chips of federations of one model over the tokens of recorded requests."""

    def __init__(
        self,
        model: QuantizedModel,
        requests: Sequence[Request],
        measured: Iterable[int],
        folder: Path = FOLDER,
        kernels: KernelSet | None = None,
    ) -> None:
        """measured: the positions to report; kernels: machine code in place of viper's. Raises
        SetupError if QEMU cannot be installed."""
        self._model, self._measured = model, frozenset(measured)
        self._requests = [request for request in requests if request.phase != PHASE_VOCABULARY]
        self._logits = {
            request.position: request.answer
            for request in requests
            if request.phase == PHASE_VOCABULARY
        }
        self._emulator = Emulator(folder, kernels)
        self._target = kernels.name if kernels else TARGET
        self._sums: dict[int, list[list[Ints]]] = {}  # by count of chips

    def rows(self, chips: int, name: str) -> Iterator[Row]:
        """Returns instructions per token on the busiest of `chips` chips. Raises
        EmulationError."""
        plan = tensor_plan(self._model, chips, reduce="chips")
        runs = [self.run(plan, shard, self.events(plan, shard)) for shard in plan.shards]
        for position, at in self._places(plan).items():
            totals = [sum(run[i].instructions for i in at) for run in runs]
            allocated = [sum(run[i].allocated for i in at) for run in runs]
            shape = f"{name} {counted(chips)} combining position {position}"
            for what, values, unit in (
                ("chip", totals, "instr/token"),
                ("chip: allocated", allocated, "bytes/token"),
            ):
                yield Row(what, self._target, shape, max(values), unit, Label.EMULATED)

    def run(
        self, plan: Plan, shard: Shard, events: list[Event], inside: bool = False
    ) -> list[Measured]:
        """Returns what a chip did for each measured event; inside: as Emulator.runs'."""
        records = [event.record for event in events]
        runs = self._emulator.runs(self._model, plan, shard, records, inside)
        for position, at in self._places(plan).items():
            rows = slice(shard.rows.start, shard.rows.stop)
            if shard.rows and not np.array_equal(
                _logits(runs[at[-1]].answer), self._logits[position][rows]
            ):
                raise EmulationError(
                    f"position {position}: the logits of emulated chip {shard.chip} are not the"
                    " reference's"
                )
        return runs

    def _partial_sums(self, plan: Plan) -> list[list[Ints]]:
        """Returns each chip's partial sums [dim] for each request but those of the vocabulary."""
        if plan.chips in self._sums:
            return self._sums[plan.chips]
        sharded = ShardedModel.of(self._model, plan)
        self._sums[plan.chips] = [
            [part[0] for part in (
                sharded.attention(request.layer, request.x[None], request.position)
                if request.phase == PHASE_ATTENTION
                else sharded.feed_forward(request.layer, request.x[None])
            )]
            for request in self._requests
        ]  # fmt: skip
        return self._sums[plan.chips]

    def events(self, plan: Plan, shard: Shard) -> list[Event]:
        """Returns all frames for a chip."""
        made: list[Event] = []
        others = [other.chip for other in plan.shards if other.chip != shard.chip]
        layers = self._model.config.layers
        sums = zip(self._requests, self._partial_sums(plan), strict=True)
        for number, (request, parts) in enumerate(sums):
            measured = request.position in self._measured
            if request.layer == 0 and request.phase == PHASE_ATTENTION:
                collects = request.position + 1 in self._measured
                record = Record(self._step(request, number), measured, collects)
                alone = PHASE_VOCABULARY if plan.chips == 1 else PHASE_ATTENTION
                made.append(Event(record, alone))
            contributed = {chip: parts[chip] for chip in others}
            if not measured and others:
                # Before what is measured all others' sums may as well come from one of them.
                contributed = {chip: np.zeros(0, np.int64) for chip in others}
                contributed[others[0]] = np.sum([parts[chip] for chip in others], axis=0)
            for chip, part in contributed.items():
                frame = _contribution(chip, plan, number, part)
                made.append(Event(Record(frame, measured), None))
            if others:
                # The last one completes the sum, and the chip goes on.
                attended = request.phase == PHASE_ATTENTION
                layer = request.layer + (not attended)
                end = layer == layers
                phase = PHASE_VOCABULARY if end else request.phase ^ 1
                made[-1] = Event(made[-1].record, phase, 0 if end else layer)
        return made

    def _step(self, request: Request, number: int) -> bytes:
        wants = WANTS_LOGITS if request.position in self._measured else WANTS_NOTHING
        residual = self._model.embedding[request.token].tolist()
        payload = encode_step(
            SEQUENCE_ID, wants, request.position, 1, number & 0xFFFF, residual
        )  # fmt: skip
        return line_frame(STEP, HOST, request.position, payload)

    def _places(self, plan: Plan) -> dict[int, list[int]]:
        """Returns where the measured events of each position are in a run."""
        each = 1 + 2 * self._model.config.layers * (plan.chips - 1)
        return {
            position: list(range(each * i, each * (i + 1)))
            for i, position in enumerate(sorted(self._measured))
        }


def _contribution(chip: int, plan: Plan, number: int, part: Ints) -> bytes:
    """Returns a chip's contribution to the sum with this number, as it is on the line."""
    sent: list[bytes] = []

    def send(frame: bytearray, kind: int, dst: int, number: int, length: int) -> None:
        payload = bytes(frame[HEADER_SIZE : HEADER_SIZE + length])
        sent.append(line_frame(kind, chip, number, payload))

    members = [shard.chip for shard in plan.shards]
    exchange = Collective(chip, members, plan.config.dim, 32, _ROOM, send, 1)
    exchange.start(SEQUENCE_ID, number & 0xFFFF)
    exchange.all_reduce(array("i", part.tolist()), len(part))
    return sent[0]


def _logits(encoded: bytes) -> Ints:
    frame = bytearray(decode_frame(encoded.rstrip(b"\0")) or b"")
    payload = bytes(frame[HEADER_SIZE : HEADER_SIZE + verify_frame(frame, len(frame))])
    return np.frombuffer(decode_logits(payload).data, "<i2").astype(np.int64)
