"""Measures what is deterministic on the real targets, and the simulation on this machine.

    python -m bench [PART ...] [--model FILE]

Every figure is labelled: measured is what was counted or timed on this machine, emulated are
instructions that code for a chip's processor executed in an emulator. The figures go into one
table and into bench/results.json.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench import kernels, simulation
from bench.bounds import SHIPPED
from bench.chip import ChipBench
from bench.emulation.memory import Fault
from bench.emulation.mpy import MpyError
from bench.kernel_cases import WrongResult
from bench.qemu.machine import EmulationError
from bench.recording import requests
from bench.results import Row, table, write
from host.cluster.errors import ClusterError
from host.deploy.bundle import REPOSITORY, DeployError
from host.model.checkpoint import Config, ModelError
from host.model.loading import loaded
from host.model.quantized import QuantizedModel
from host.model.tokenizer import BOS
from host.setup import SetupError

RESULTS = Path(__file__).resolve().parent / "results.json"
# The shapes of the stories260K of llama2.c's tinyllamas, for which no file is needed.
STORIES260K = Config(
    dim=64, hidden_dim=172, layers=5, heads=8, kv_heads=4, vocab_size=512, context=512
)
_FILE_WIDTH = 132
POSITIONS = (16, 128, 256)
CHIPS = (1, 5)
_EXPECTED = (
    ClusterError, DeployError, EmulationError, Fault, ModelError, MpyError, SetupError,
    WrongResult,
)  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """A model under measurement."""

    name: str
    model: QuantizedModel

    def positions(self) -> list[int]:
        """Where a chip's work is counted: as far as the model's context goes."""
        last = self.model.config.context - 1
        return sorted({min(position, last) for position in POSITIONS})


Part = Callable[[list[Subject], int, Console], Iterator[Row]]


def _kernels(subjects: list[Subject], steps: int, console: Console) -> Iterator[Row]:
    yield from kernels.figures_of_shapes()
    configs = {subject.name: subject.model.config for subject in subjects}
    for name, config in {**configs, "stories260K": STORIES260K}.items():
        yield from kernels.figures_of_model(config, name)


def _chip(subjects: list[Subject], steps: int, console: Console) -> Iterator[Row]:
    for subject in subjects:
        positions = subject.positions()
        recorded = requests(subject.model, [BOS], positions[-1] + 1)
        console.print(f"{subject.name}: compiler, QEMU and MicroPython's QEMU port", style="dim")
        bench = ChipBench(subject.model, recorded, positions)
        for chips in CHIPS:
            console.print(f"{subject.name}: {chips} emulated, one after another", style="dim")
            yield from bench.rows(chips, subject.name)


def _simulation(subjects: list[Subject], steps: int, console: Console) -> Iterator[Row]:
    for subject in subjects:
        for link, chips in simulation.CASES:
            console.print(f"{subject.name}: {chips} simulated on {link}", style="dim")
            count = min(steps, subject.model.config.context - 1)
            yield from simulation.figures(subject.model, link, chips, count, subject.name)


PARTS: dict[str, Part] = {"kernels": _kernels, "chip": _chip, "simulation": _simulation}


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}: all")
    parser.add_argument(
        "--model",
        default=os.environ.get("MODEL") or str(SHIPPED),
        help="what to measure besides kernels (default: the shipped model)",
    )
    parser.add_argument("--steps", type=int, default=100, help="simulated tokens (default 100)")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: the parts are {', '.join(PARTS)}")
    if options.steps < 2:
        parser.error("--steps: at least 2")
    # A file has no width of its own.
    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH)
    try:
        path = Path(options.model)
        subjects = [Subject(path.stem, loaded(path).quantized())]
        rows = measured(options.parts or list(PARTS), subjects, options.steps, console)
    except _EXPECTED as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    console.print(table("Instructions, bytes and tokens", rows))
    write(rows, RESULTS)
    console.print(f"written to {RESULTS.relative_to(REPOSITORY)}")
    return 0


def measured(
    parts: list[str], subjects: list[Subject], steps: int, console: Console
) -> list[Row]:  # fmt: skip
    """The rows of all parts, with a line on how long each takes.

    A part whose programs cannot be had here is left out, saying why; SetupError where all are.
    """
    rows: list[Row] = []
    for part in parts:
        start = time.monotonic()
        try:
            rows += PARTS[part](subjects, steps, console)
        except SetupError as reason:
            console.print(f"{part}: left out: {reason}", style="yellow")
        else:
            console.print(f"{part}: {time.monotonic() - start:.0f} s")
    if not rows:
        raise SetupError(f"nothing could be measured of {', '.join(parts)}")
    return rows


if __name__ == "__main__":
    sys.exit(main())
