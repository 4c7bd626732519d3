"""Measures what is deterministic on the real targets, and the simulation on this machine.

    python -m bench [PART ...] [--model FILE]

Every figure is labelled. "Measured": counted or timed on this machine. "Emulated": instructions of
code for a chip's processor, executed in an emulator. "Modelled": computed from those and from
published figures. They go into one table and into bench/results.json.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from bench import REPOSITORY
from bench.bounds import SHIPPED
from bench.emulation.memory import Fault
from bench.emulation.mpy import MpyError
from bench.kernel_cases import WrongResult
from bench.parts import PARTS, Subject
from bench.qemu.machine import EmulationError
from bench.results import RESULTS, Row, print_rows, write
from host.cli.arguments import Parser, exit_code
from host.cli.console import Console
from host.errors import BuildError, ClusterError, ModelError, SetupError
from host.model.loading import load_model

_FILE_WIDTH = 132
_EXPECTED = (
    ClusterError, BuildError, EmulationError, Fault, ModelError, MpyError, SetupError,
    WrongResult,
)  # fmt: skip


def main() -> int:
    """Runs the parts; returns the exit code."""
    parser = Parser(prog="python -m bench", description=__doc__)
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
    return exit_code(lambda: _run(options), _EXPECTED)


def _run(options: argparse.Namespace) -> int:
    # A file has no width of its own.
    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH)
    path = Path(options.model)
    source = load_model(path)
    subjects = [Subject(path.stem, source.quantize(), source)]
    rows = measured(options.parts or list(PARTS), subjects, options.steps, console)
    write(rows, RESULTS)
    console.print(f"written to {RESULTS.relative_to(REPOSITORY)}")
    return 0


def measured(
    parts: list[str], subjects: list[Subject], steps: int, console: Console
) -> list[Row]:  # fmt: skip
    """Returns the rows of all parts, each printed with how long it took.

    A part is left out, with a message, if its programs cannot be installed; raises SetupError if
    none can.
    """
    rows: list[Row] = []
    for part in parts:
        start = time.monotonic()
        try:
            made = list(PARTS[part](subjects, steps, console))
        except SetupError as reason:
            console.print(f"{part}: left out: {reason}", style="yellow")
            continue
        rows += made
        print_rows(f"{part}, in {time.monotonic() - start:.0f} s", made, console)
    if not rows:
        raise SetupError(f"nothing could be measured of {', '.join(parts)}")
    return rows


if __name__ == "__main__":
    sys.exit(main())
