"""A chip's instructions for each of its tasks, by the size of its shard: fitted to emulated chips.

    attention     c0 + c1 * heads + c2 * KV heads, at one position
    feed-forward  c0 + c1 * units
    vocabulary    c0 + c1 * rows
    part          c0: taking another chip's contribution, where chips combine

Emulated are all chips of federations of FITTED sizes. Other sizes, up to 100 chips, have shards
between those or smaller ones. Whole chips are emulated on RISC-V, with native kernels, and what
goes into kernels with viper's. Where chips have other kernels, their instructions are scaled by
what these take, and all else is taken to be as many.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from bench.chip import OTHERS, PHASES, ChipBench
from bench.combining_chip import CombiningBench
from bench.emulated_chip import ANSWER, Measured
from bench.kernels import figures_of_shapes
from bench.native import NATIVE_SETS
from bench.plans import tensor_plan
from bench.results import Row
from host.build.machine_code.registry import RV32IM
from host.model.quantized import QuantizedModel
from host.parallel.plan import Plan, Shard
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY

FITTED = (1, 2, 5, 8)
PART = 3  # the task besides the three phases
TASKS = {
    PHASE_ATTENTION: "attention",
    PHASE_FEED_FORWARD: "feed-forward",
    PHASE_VOCABULARY: "vocabulary",
    PART: "part",
}
_NAMES = {
    PHASE_ATTENTION: ("", "heads", "KV heads"),
    PHASE_FEED_FORWARD: ("", "units"),
    PHASE_VOCABULARY: ("", "rows"),
    PART: ("",),
}
# By which kernel at which shape each kind of work is scaled from one set of kernels to another.
_SCALES = {
    "matrix": "matvec 64x64",
    "attention": "scores 128x8",
    "elementwise": "rescale 64",
}


@dataclass(frozen=True)
class Sample:
    """The instructions of one emulated chip for one task; inside: by kind of kernel, in the same
    run or another one of the same frames."""

    task: int
    shard: Shard
    instructions: int
    inside: Mapping[str, int]


@dataclass(frozen=True)
class Work:
    """coefficients: by task, as above; error: the largest relative deviation from a sample."""

    coefficients: Mapping[int, tuple[float, ...]]
    error: float

    def instructions(self, task: int, shard: Shard | None = None) -> float:
        """Returns those of one task of one layer, for the chip that owns `shard`, which PART does
        not need."""
        terms = zip(self.coefficients[task], _features(task, shard), strict=True)
        return sum(factor * amount for factor, amount in terms)

    def described(self) -> str:
        """Returns the formulas as text."""
        return "; ".join(
            f"{TASKS[task]} " + " + ".join(
                f"{value:,.0f}{f' x {name}' if name else ''}"
                for value, name in zip(values, _NAMES[task], strict=True)
            )
            for task, values in self.coefficients.items()
        )  # fmt: skip


def fitted(samples: Iterable[Sample], scales: Mapping[str, float]) -> Work:
    """Returns the Work by least squares, for a target on which kernels of each kind take `scales`
    times as long as on rv32imc."""
    by_task: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_task[sample.task].append(sample)
    coefficients, error = {}, 0.0
    for task, own in by_task.items():
        amounts = np.array([_features(task, sample.shard) for sample in own], float)
        counts = np.array([scaled(sample, scales) for sample in own])
        solution = np.linalg.lstsq(amounts, counts, rcond=None)[0]
        coefficients[task] = tuple(map(float, solution))
        error = max(error, float(np.max(np.abs(amounts @ solution / counts - 1))))
    return Work(coefficients, error)


def scaled(sample: Sample, scales: Mapping[str, float]) -> float:
    """Returns the instructions of the sample if kernels take `scales` times as long."""
    more = sum((scales.get(kind, 1.0) - 1) * count for kind, count in sample.inside.items())
    return sample.instructions + more


def kernel_scales(rows: Iterable[Row], target: str) -> dict[str, float]:
    """Returns the ratio of a target's or a set's kernels to viper's on rv32imc, by kind of
    work."""
    values = {(f"{row.name} {row.shape}", row.target): row.value for row in rows}
    return {
        kind: values[kernel, target] / values[kernel, "rv32imc"]
        for kind, kernel in _SCALES.items()
    }


def works(samples: Sequence[Sample], native: Sequence[Sample] = ()) -> dict[str, Work]:
    """Returns the Work with each set of kernels, by its name.

    samples: with viper's kernels; native: of the same tasks with rv32im's, where these are more
    than other kernels: no bytecode between them. Without, only kernels are other ones.
    """
    scales = _native_scales()
    if not native:
        return {name: fitted(samples, by_kind) for name, by_kind in scales.items()}
    # Beside the whole chip with native kernels, what went into viper's.
    both = [
        replace(whole, inside=viper.inside) for whole, viper in zip(native, samples, strict=True)
    ]
    own = scales[RV32IM.name]
    return {
        name: fitted(both, {kind: 1 + scale - own[kind] for kind, scale in by_kind.items()})
        for name, by_kind in scales.items()
    }


@cache
def _native_scales() -> dict[str, dict[str, float]]:
    rows = list(figures_of_shapes())
    return {kernels.name: kernel_scales(rows, kernels.name) for kernels in NATIVE_SETS}


def _features(task: int, shard: Shard | None) -> tuple[float, ...]:
    if task == PART or shard is None:
        return (1,)
    if task == PHASE_ATTENTION:
        return 1, len(shard.heads), len(shard.kv_heads)
    return 1, len(shard.units if task == PHASE_FEED_FORWARD else shard.rows)


def host_samples(
    model: QuantizedModel, bench: ChipBench, *, inside: bool = True
) -> list[Sample]:
    """Returns samples of host reduce, one of each task for each different shard; inside: as for
    the other samples."""

    def runs(plan: Plan, shard: Shard, inside: bool) -> list[Measured]:
        return bench.run(plan, shard, inside)

    tasks = [request.phase for request in bench.measured_requests()]
    return _samples(model, "host", lambda plan, shard: tasks, runs, inside)


def combining_samples(
    model: QuantizedModel, bench: CombiningBench, *, inside: bool = True
) -> list[Sample]:
    """Returns samples of all-reduce; none for a single chip, which computes everything in one go.
    inside: count functions separately, which is not possible for programs of native kernels."""

    def tasks(plan: Plan, shard: Shard) -> list[int]:
        events = bench.events(plan, shard)
        measured = [event for event in events if event.record.measured]
        return [PART if event.phase is None else event.phase for event in measured]

    def runs(plan: Plan, shard: Shard, inside: bool) -> list[Measured]:
        return bench.run(plan, shard, bench.events(plan, shard), inside)

    return _samples(model, "chips", tasks, runs, inside)


def _samples(
    model: QuantizedModel,
    combine: str,
    tasks: Callable[[Plan, Shard], Sequence[int]],
    runs: Callable[[Plan, Shard, bool], list[Measured]],
    inside: bool,
) -> list[Sample]:
    found: dict[tuple[int, ...], list[Sample]] = {}
    for chips in FITTED if combine == "host" else FITTED[1:]:
        plan = tensor_plan(model, chips, reduce=combine)
        for shard in plan.shards:
            sizes = tuple(map(len, (shard.heads, shard.kv_heads, shard.units, shard.rows)))
            if sizes in found:
                continue
            whole = runs(plan, shard, False)
            looked_into = runs(plan, shard, True) if inside else whole
            found[sizes] = _means(shard, tasks(plan, shard), whole, looked_into)
    return [sample for samples in found.values() for sample in samples]


def _means(
    shard: Shard, tasks: Sequence[int], whole: list[Measured], inside: list[Measured]
) -> list[Sample]:
    """Returns a sample of each task in which the chip takes part: the mean over all layers."""
    samples = []
    for task in sorted(set(tasks)):
        own = (shard.heads, shard.units, shard.rows, True)[task]
        at = [i for i, each in enumerate(tasks) if each == task]
        if not own:
            continue
        kinds: dict[str, int] = defaultdict(int)
        for i in at:
            for name, count in inside[i].inside.items():
                if name != ANSWER:
                    kinds[PHASES.get(name, OTHERS)] += count
        mean = round(sum(whole[i].instructions for i in at) / len(at))
        samples.append(
            Sample(task, shard, mean, {kind: n // len(at) for kind, n in kinds.items()})
        )
    return samples
