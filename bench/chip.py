"""Counts the instructions that a whole chip executes for a token with host reduce.

The emulated chip receives the requests of a recorded text, and its answers are compared with the
reference in the same run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.emulated_chip import ANSWER, DIGEST, FOLDER, TARGET, Emulator, Measured, Record
from bench.plans import tensor_plan
from bench.qemu.machine import EmulationError
from bench.qemu.port import COUNTER
from bench.recording import SESSION_KEY, Request
from bench.results import Label, Row
from host.build.machine_code.registry import KernelSet
from host.model.arithmetic import Ints
from host.model.quantized import QuantizedModel
from host.parallel.plan import Plan, Shard
from host.wire.framing import decode_frame
from host.wire.payloads import decode_logits, decode_partial
from protocol.auth import Signer
from protocol.bitunpack import unpack
from protocol.frame import HEADER_SIZE, ProtocolError, verify_frame
from protocol.messages import PHASE_ATTENTION, PHASE_VOCABULARY

# Functions that are counted separately, by what they do (softmax is part of attention); all other
# functions of the kernels' modules are `elementwise`. The rest is the message loop and bytecode.
PHASES = {"matvec": "matrix", "attend": "attention", "bits_needed": "packing", "pack": "packing"}
OTHERS = "elementwise"


class ChipBench:
    """Runs chips of federations of one model over recorded requests, up to `positions`."""

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
        """measured: the positions to report; signed: with frames of version 3, not 2; kernels:
        machine code in place of viper's. Raises SetupError if QEMU cannot be installed."""
        self.model, self._measured, self._signed = model, frozenset(measured), signed
        self._requests = [
            request
            for request in requests
            if request.phase != PHASE_VOCABULARY or request.position in self._measured
        ]
        # One for all, because requests are signed in the order in which they are sent.
        signer = Signer(SESSION_KEY) if signed else None
        self.records = [self._record(*item, signer) for item in enumerate(self._requests)]
        self.emulator = Emulator(folder, kernels)
        self._target = kernels.name if kernels else TARGET
        self._is_native = kernels is not None
        self._federations: dict[int, tuple[Plan, list[list[Measured]]]] = {}  # by count of chips
        self._inside: dict[tuple[int, int], list[Measured]] = {}  # by that and the chip

    def rows(self, chips: int, name: str) -> Iterator[Row]:
        """Returns instructions per token on the busiest of `chips` chips, in total and by phase;
        for a chip that signs, in total and of its HMACs.

        Raises EmulationError if a chip fails or the answers do not add up to the reference's.
        """
        plan, runs = self.federation(chips)
        name = f"{name} {counted(chips)}{' signed' if self._signed else ''}"
        for position, at in self.places().items():
            totals = [sum(run[i].instructions for i in at) for run in runs]
            busiest = int(np.argmax(totals))
            shape = f"{name} position {position}"

            def row(what: str, value: float, shape: str = shape, unit: str = "instr/token") -> Row:
                return Row(what, self._target, shape, value, unit, Label.EMULATED)

            yield row("chip", totals[busiest])
            if self._is_native and not self._signed:
                # Counting functions separately runs no programs, so it does not apply to a chip
                # that does.
                yield row("chip: allocated", sum(runs[busiest][i].allocated for i in at),
                          unit="bytes/token")  # fmt: skip
                continue
            for phase, count in self._phases(plan, busiest, at, totals[busiest]).items():
                yield row(f"chip: {phase}", count)
            allocated = sum(runs[busiest][i].allocated for i in at)
            yield row("chip: allocated", allocated, unit="bytes/token")
        if not self._signed:
            shape = f"{name} heap {COUNTER.heap // 1024} KB"
            yield Row("chip: collection of garbage", self._target, shape, self.emulator.collection,
                      "instr/collection", Label.EMULATED)  # fmt: skip

    def federation(self, chips: int) -> tuple[Plan, list[list[Measured]]]:
        """Returns the plan for `chips` chips, and what each did for each of the measured requests;
        their answers have been verified. Raises EmulationError."""
        if chips not in self._federations:
            plan = tensor_plan(self.model, chips, signed=self._signed)
            runs = [self.run(plan, shard, inside=False) for shard in plan.shards]
            self.check(runs)
            self._federations[chips] = plan, runs
        return self._federations[chips]

    def measured_requests(self) -> list[Request]:
        """Returns the requests of the positions that are measured."""
        return [request for request in self._requests if request.position in self._measured]

    def places(self) -> dict[int, list[int]]:
        """Returns the places of each measured position's requests among `measured_requests`."""
        positions = [request.position for request in self.measured_requests()]
        return {
            measured: [i for i, position in enumerate(positions) if position == measured]
            for measured in sorted(self._measured)
        }

    def _phases(self, plan: Plan, chip: int, at: list[int], total: int) -> dict[str, int]:
        looked_into = [self._looked_into(plan, chip)[i] for i in at]
        if self._signed:
            # Counting HMACs separately adds to the protocol; all else is as without signatures.
            return {"HMAC": sum(run.inside[DIGEST] for run in looked_into)}
        phases: Counter[str] = Counter()
        for run in looked_into:
            for name, spent in run.inside.items():
                if name == ANSWER:
                    phases["protocol"] += run.instructions - spent
                else:
                    phases[PHASES.get(name, OTHERS)] += spent
        phases["calls"] = total - phases.total()
        return phases

    def _looked_into(self, plan: Plan, chip: int) -> list[Measured]:
        if (plan.chips, chip) not in self._inside:
            run = self.run(plan, plan.shards[chip], inside=True)
            self._inside[plan.chips, chip] = run
        return self._inside[plan.chips, chip]

    def run(self, plan: Plan, shard: Shard, inside: bool) -> list[Measured]:
        """Returns what a chip did for each request of `measured_requests`; inside: as
        Emulator.runs'."""
        key = SESSION_KEY if self._signed else b""
        return self.emulator.runs(self.model, plan, shard, self.records, inside, key)

    def _record(self, index: int, request: Request, signer: Signer | None) -> Record:
        first = request.layer == 0 and request.phase == PHASE_ATTENTION
        # A token before: then no garbage is collected amid the counting, which is separate, and
        # the heap is as usual, with gaps and garbage.
        collects = first and request.position + 1 in self._measured
        return Record(request.frame(index, signer), request.position in self._measured, collects)

    def check(self, runs: list[list[Measured]]) -> None:
        """Raises EmulationError if the answers of all chips of a plan are not the reference's, or
        are not signed correctly."""
        signer = Signer(SESSION_KEY, len(runs)) if self._signed else None
        for i, request in enumerate(self.measured_requests()):
            answers = [read_values(run[i].answer, signer) for run in runs if run[i].answer]
            if request.phase == PHASE_VOCABULARY:
                got = np.concatenate(answers)
            else:
                got = np.sum(answers, axis=0)
            if not np.array_equal(got, request.answer):
                raise EmulationError(
                    f"position {request.position}, layer {request.layer}, phase {request.phase}:"
                    " the answers of emulated chips are not the reference's"
                )


def counted(chips: int) -> str:
    """Returns a count with its noun."""
    return f"{chips} chip{'s' if chips > 1 else ''}"


def read_values(encoded: bytes, signer: Signer | None = None) -> Ints:
    """Returns the partial sums or logits in an answer on the line. Raises EmulationError."""
    frame = bytearray(decode_frame(encoded.rstrip(b"\0")) or b"")
    try:
        length = verify_frame(frame, len(frame), signer)
    except ProtocolError as error:
        raise EmulationError(f"an emulated chip's answer is malformed: {error}") from error
    payload = bytes(frame[HEADER_SIZE : HEADER_SIZE + length])
    if payload[3] == PHASE_VOCABULARY:
        return np.frombuffer(decode_logits(payload).data, "<i2").astype(np.int64)
    partial = decode_partial(payload)
    count = len(partial.data) * 8 // partial.bits
    values = np.zeros(count, np.intc)
    unpack(partial.data, 0, values, count, partial.bits)
    return values.astype(np.int64)
