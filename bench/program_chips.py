"""Models the instructions of a whole chip with native kernels for a token, if QEMU does not
emulate it.

Machine code, from a request's bytes to its answer's, is executed for the chip's own processor
(bench/program_chip.py). What MicroPython does around it, reading the UART, calling and writing, is
assumed to be as on rv32imc: a whole chip is emulated there, and the instructions of the same
machine code, executed in the same way, are subtracted. So the sum is labelled modelled, although
its larger part is emulated.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.chip import ChipBench, counted, read_values
from bench.program_chip import ProgramChip
from bench.qemu.machine import EmulationError
from bench.recording import Caches
from bench.results import Label, Row
from host.build.machine_code.registry import RV32IM, KernelSet
from host.model.arithmetic import Ints
from host.parallel.plan import Plan, Shard
from protocol.messages import PHASE_VOCABULARY


class ProgramBench:
    """Runs chips over the measured requests of a ChipBench with rv32im's kernels."""

    def __init__(self, bench: ChipBench, caches: Caches) -> None:
        """caches: keys and values of the text of the bench's requests."""
        self._bench, self._caches = bench, caches
        self._around: dict[int, list[list[int]]] = {}  # MicroPython's part, by count of chips

    def rows(self, chips: int, name: str, kernels: KernelSet) -> Iterator[Row]:
        """Returns instructions per token on the busiest of `chips` chips, in total and in machine
        code.

        Raises EmulationError if the answers do not add up to the reference's.
        """
        around, native = self._runtime(chips), self._native(chips, kernels)
        for position, at in self._bench.places().items():
            own = [sum(run[i] for i in at) for run in native]
            totals = [
                count + sum(run[i] for i in at) for count, run in zip(own, around, strict=True)
            ]
            busiest = int(np.argmax(totals))
            shape = f"{name} {counted(chips)} position {position}"
            yield Row("chip", kernels.name, shape, totals[busiest], "instr/token", Label.MODELLED)
            yield Row("chip: machine code", kernels.name, shape, own[busiest], "instr/token",
                      Label.EMULATED)  # fmt: skip

    def _runtime(self, chips: int) -> list[list[int]]:
        if chips not in self._around:
            _, runs = self._bench.federation(chips)
            self._around[chips] = [
                [run.instructions - count for run, count in zip(*each, strict=True)]
                for each in zip(runs, self._native(chips, RV32IM), strict=True)
            ]
        return self._around[chips]

    def _native(self, chips: int, kernels: KernelSet) -> list[list[int]]:
        """Returns the instructions of machine code by chip and request; the answers are
        verified."""
        plan, _ = self._bench.federation(chips)
        requests = self._bench.measured_requests()
        sums: list[list[Ints]] = [[] for _ in requests]
        counts = [self._run(plan, shard, kernels, sums) for shard in plan.shards]
        for request, answers in zip(requests, sums, strict=True):
            is_scoring = request.phase == PHASE_VOCABULARY
            got = np.concatenate(answers) if is_scoring else np.sum(answers, axis=0)
            if not np.array_equal(got, request.answer):
                raise EmulationError(
                    f"{kernels.name}, position {request.position}, layer {request.layer}, phase"
                    f" {request.phase}: programs' answers are not the reference's"
                )
        return counts

    def _run(
        self, plan: Plan, shard: Shard, kernels: KernelSet, sums: list[list[Ints]]
    ) -> list[int]:
        """Returns the chip's counts; adds its answers to `sums`."""
        chip = ProgramChip(self._bench.model, plan, shard, kernels, self._caches)
        counts = []
        for index, request in enumerate(self._bench.measured_requests()):
            count, answer = chip.answer(request, index)
            counts.append(count)
            if answer:
                sums[index].append(read_values(answer))
        return counts
