"""Instructions that one whole chip executes for a token, on rv32imc in QEMU.

The chip runs the very files that a board would hold, compiled for rv32imc, on MicroPython's QEMU
port. It is handed the requests of a recorded text frame by frame, as its UART would, and its
answers are checked against the reference in the same run.
"""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.qemu.machine import EmulationError, output
from bench.qemu.port import HEAP, firmware
from bench.qemu.toolchain import Toolchain
from bench.recording import Request
from bench.results import Label, Row
from host.deploy.bundle import REPOSITORY, chip_files, compiled
from host.deploy.configuration import SIMULATED_UART, configuration
from host.deploy.kernels import kernel_source
from host.deploy.shard import matrix_columns
from host.model.arithmetic import Ints
from host.model.quantized import QuantizedModel
from host.parallel.plan import Plan, Share, tensor_parallel
from protocol.bitpack import unpack
from protocol.frame import HEADER_SIZE, opened
from protocol.framing_bytes import decoded_frame
from protocol.layout import PHASE_ATTENTION, PHASE_VOCABULARY
from protocol.payloads import logits_from, partial_from

TARGET = "rv32imc"
FOLDER = REPOSITORY / "build" / "qemu"  # compiler, emulator, MicroPython
_ON_CHIP = Path(__file__).resolve().parent / "qemu" / "on_chip.py"
# Functions whose instructions are told apart, by what they do; what else the kernels' modules hold
# is `elementwise`. Beside them there are the message loop and bytecode.
_PHASES = {"matvec": "matrix", "scores": "attention", "mean": "attention",
           "exponentials": "softmax", "bits_needed": "packing", "pack": "packing"}  # fmt: skip
_OTHERS = "elementwise"
_ANSWER = "answer"  # Share's method
_ANSWER_PARAMETERS = 3
# Flags of on_chip.py's records.
_MEASURED, _COLLECT = 1, 2


@dataclass
class Measured:
    """What one chip did for one request. inside: instructions by function."""

    instructions: int
    allocated: int
    answer: bytes
    inside: dict[str, int] = field(default_factory=dict)


class ChipBench:
    """Runs chips of federations of one model over recorded requests, up to `positions`."""

    def __init__(
        self,
        model: QuantizedModel,
        requests: Sequence[Request],
        measured: Iterable[int],
        folder: Path = FOLDER,
    ) -> None:
        """measured: the positions to tell of. Raises SetupError where QEMU cannot be had."""
        self._model, self._measured = model, frozenset(measured)
        self._requests = [
            request
            for request in requests
            if request.phase != PHASE_VOCABULARY or request.position in self._measured
        ]
        self._collection = 0  # of the run that was last
        self._toolchain = Toolchain(folder)
        self._program = firmware(folder, self._toolchain)

    def rows(self, chips: int, name: str) -> Iterator[Row]:
        """Instructions a token on the busiest of so many chips, whole and by phase.

        Raises EmulationError where a chip fails or the answers do not add up to the reference's.
        """
        plan = tensor_parallel(self._model, chips)
        runs = [self._run(plan, share, inside=False) for share in plan.shares]
        self._check(runs)
        for position in sorted(self._measured):
            at = [i for i, request in enumerate(self._told()) if request.position == position]
            totals = [sum(run[i].instructions for i in at) for run in runs]
            busiest = int(np.argmax(totals))
            shape = f"{name} {_counted(chips)} position {position}"

            def row(what: str, value: float, shape: str = shape, unit: str = "instr/token") -> Row:
                return Row(what, TARGET, shape, value, unit, Label.EMULATED)

            yield row("chip", totals[busiest])
            for phase, count in self._phases(plan, busiest, at, totals[busiest]).items():
                yield row(f"chip: {phase}", count)
            allocated = sum(runs[busiest][i].allocated for i in at)
            yield row("chip: allocated", allocated, unit="bytes/token")
        shape = f"{name} {_counted(chips)} heap {HEAP // 1024} KB"
        yield Row("chip: collection of garbage", TARGET, shape, self._collection,
                  "instr/collection", Label.EMULATED)  # fmt: skip

    def _told(self) -> list[Request]:
        return [request for request in self._requests if request.position in self._measured]

    def _phases(self, plan: Plan, chip: int, at: list[int], total: int) -> Counter[str]:
        looked_into = self._run(plan, plan.shares[chip], inside=True)
        phases: Counter[str] = Counter()
        for i in at:
            run = looked_into[i]
            for name, spent in run.inside.items():
                if name == _ANSWER:
                    phases["protocol"] += run.instructions - spent
                else:
                    phases[_PHASES.get(name, _OTHERS)] += spent
        phases["calls"] = total - phases.total()
        return phases

    def _run(self, plan: Plan, share: Share, inside: bool) -> list[Measured]:
        """What the chip did for each request of the measured positions."""
        settings = configuration(plan, share, uart=SIMULATED_UART)
        files = chip_files(self._model, plan, share, TARGET, settings)
        functions = _functions(self._model, share) if inside else {}
        wanted = {
            **{path: files[path] for path in files if "/" in path or path == "shard.bin"},
            "on_chip.mpy": compiled(_ON_CHIP.read_bytes(), "on_chip.py", TARGET),
            "run.json": json.dumps({**settings, "functions": functions}).encode(),
            "requests.bin": b"".join(self._record(*item) for item in enumerate(self._requests)),
        }
        runs: list[Measured] = []
        for line in output(self._program, self._toolchain, wanted):
            match line.split():
                case ["@answer", instructions, allocated, *answer]:
                    told = bytes.fromhex("".join(answer))
                    runs.append(Measured(int(instructions), int(allocated), told))
                case ["@inside", name, spent, _]:
                    runs[-1].inside[name] = int(spent)
                case ["@collection", instructions, _]:
                    self._collection = int(instructions)
        if len(runs) != len(self._told()):
            raise EmulationError(f"chip {share.chip} answered {len(runs)} requests, not all")
        return runs

    def _record(self, index: int, request: Request) -> bytes:
        frame = request.frame(index)
        flags = _MEASURED if request.position in self._measured else 0
        first = request.layer == 0 and request.phase == PHASE_ATTENTION
        # A token before: then no garbage is collected amid the counting, which is told apart,
        # and the heap is as usual, with gaps and garbage.
        if first and request.position + 1 in self._measured:
            flags |= _COLLECT
        return bytes([flags]) + len(frame).to_bytes(2, "little") + frame

    def _check(self, runs: list[list[Measured]]) -> None:
        for i, request in enumerate(self._told()):
            answers = [_values(run[i].answer) for run in runs if run[i].answer]
            if request.phase == PHASE_VOCABULARY:
                got = np.concatenate(answers)
            else:
                got = np.sum(answers, axis=0)
            if not np.array_equal(got, request.answer):
                raise EmulationError(
                    f"position {request.position}, layer {request.layer}, phase {request.phase}:"
                    " the answers of emulated chips are not the reference's"
                )


def _counted(chips: int) -> str:
    return f"{chips} chip{'s' if chips > 1 else ''}"


def _functions(model: QuantizedModel, share: Share) -> dict[str, int]:
    """Number of parameters by name, of the functions that are told apart."""
    sources = (
        kernel_source(matrix_columns(model, share), model.config.head_dim),
        (REPOSITORY / "firmware" / "kernels.py").read_text(),
        (REPOSITORY / "protocol" / "bitpack.py").read_text(),
    )
    found = {
        node.name: len(node.args.args)
        for source in sources
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
    }
    matvec = next(count for name, count in found.items() if name.startswith("matvec"))
    return {**found, "matvec": matvec, _ANSWER: _ANSWER_PARAMETERS}


def _values(encoded: bytes) -> Ints:
    """The partial sums or logits in an answer as it left the chip."""
    frame = bytearray(decoded_frame(encoded.rstrip(b"\0")) or b"")
    payload = bytes(frame[HEADER_SIZE : HEADER_SIZE + opened(frame, len(frame))])
    if payload[3] == PHASE_VOCABULARY:
        return np.frombuffer(logits_from(payload).data, "<i2").astype(np.int64)
    partial = partial_from(payload)
    count = len(partial.data) * 8 // partial.bits
    values = np.zeros(count, np.intc)
    unpack(partial.data, 0, values, count, partial.bits)
    return values.astype(np.int64)
