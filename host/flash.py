"""Puts a chip's share of a model onto a board: `python -m host.flash --chip-id 2 ...`.

The board runs MicroPython already. Files that are there are left, so that repeating a command
that was broken off finishes the job.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from host.boards import Board, BoardError, load
from host.command_line import INTERRUPTED, TERMINATED, Parser
from host.deploy.board_files import BoardFiles, FlashError, System
from host.deploy.bundle import DeployError, chip_files
from host.deploy.changes import FOLDERS, START, Changes, changes
from host.deploy.configuration import board_uart, configuration
from host.model import loading
from host.model.checkpoint import ModelError
from host.model.quantize import quantized
from host.model.quantized import QuantizedModel
from host.parallel.plan import Plan, tensor_parallel

OLDEST_VERSION = (1, 26)
# MicroPython 1.26 refuses to set any: see boards/esp32.toml.
_OLDEST_WITH_RATE = (1, 27)
_ARCHITECTURES = {1: "x86", 10: "xtensawin", 11: "rv32imc"}  # py/persistentcode.h
_FAILURES = (BoardError, DeployError, FlashError, ModelError)

# Called with the file being written, and how many bytes are there of how many in all.
Progressed = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Place:
    """A chip of a cluster, and the board that is to be it."""

    board: Board
    port: str
    chip: int
    chips: int
    link: str = "espnow"
    context: int | None = None

    def check(self) -> None:
        """Raises FlashError for a board or chip that cannot be."""
        if self.board.flash is None or self.board.uart is None:
            raise FlashError(f"{self.board.name} is no board to flash: its chips are processes")
        if not 0 <= self.chip < self.chips:
            raise FlashError(
                f"no chip {self.chip}: {self.chips} chips have the ids 0 to {self.chips - 1}"
            )

    def plan(self, model: QuantizedModel) -> Plan:
        """The division of the model among the chips. Raises ModelError where it does not fit."""
        return tensor_parallel(
            model,
            self.chips,
            self.context,
            heap=self.board.heap_kb * 1024,
            mtu=self.board.espnow.mtu if self.link == "espnow" else None,
        )


@dataclass(frozen=True)
class Flashed:
    """What was done, and the version of MicroPython on the board."""

    version: tuple[int, int, int]
    files: int  # in the deployment
    changes: Changes


def flashed(model: QuantizedModel, place: Place, progressed: Progressed) -> Flashed:
    """Puts a chip's files onto its board and starts it anew.

    Raises FlashError, DeployError or ModelError, before anything is changed where the board or
    the model is at fault.
    """
    place.check()
    plan = place.plan(model)
    with BoardFiles(place.port) as board:
        system = board.system()
        _check(system, place)
        files = _files(model, plan, place, system)
        done = _updated(board, system, files, progressed)
        board.reset()
    return Flashed(system.version, len(files), done)


def _check(system: System, place: Place) -> None:
    found = ".".join(map(str, system.version))
    if system.version[:2] < OLDEST_VERSION:
        raise FlashError(
            f"MicroPython {found} on {place.port}: 1.26 or later is needed,"
            " for 1.25 compiles wrong code for Xtensa"
        )
    # Bits 10 to 13, see "MicroPython .mpy files" in its documentation.
    number = system.mpy >> 10 & 0xF
    arch = _ARCHITECTURES.get(number, f"architecture {number}")
    if arch != place.board.mpy_arch:
        raise FlashError(
            f"the board on {place.port} loads code for {arch}, and {place.board.name} is"
            f" {place.board.mpy_arch}: is it another board?"
        )


def _files(model: QuantizedModel, plan: Plan, place: Place, system: System) -> dict[str, bytes]:
    board, share = place.board, plan.shares[place.chip]
    assert board.uart is not None
    config = configuration(
        plan,
        share,
        uart=board_uart(board.uart),
        rate=board.espnow.rate if system.version[:2] >= _OLDEST_WITH_RATE else None,
    )
    return chip_files(model, plan, share, board.mpy_arch, config)


def _updated(
    board: BoardFiles, system: System, files: dict[str, bytes], progressed: Progressed
) -> Changes:
    """What was changed so that the board holds `files`. Raises FlashError where it does not."""
    names = [path for path in files if "/" not in path]
    present = board.files(FOLDERS, names)
    needed = changes(files, present)
    blocks = needed.blocks(system.block, present)
    if blocks > system.free_blocks:
        raise FlashError(
            f"no room on the board: {blocks * system.block // 1024} KB of its file system are"
            f" needed, {system.free_blocks * system.block // 1024} KB are free"
        )
    for path in needed.remove:
        board.remove(path)
    for folder in FOLDERS:
        board.make_folder(folder)
    _copy(board, needed, progressed)
    damaged = changes(files, board.files(FOLDERS, names)).write if needed.write else {}
    if damaged:
        board.remove(START)
        raise FlashError(f"{next(iter(damaged))} did not reach the board intact: try again")
    return needed


def _copy(board: BoardFiles, needed: Changes, progressed: Progressed) -> None:
    before = 0
    for path, content in needed.write.items():

        def written(size: int, path: str = path, before: int = before) -> None:
            progressed(path, before + size, needed.size)

        written(0)
        board.write(path, content, written)
        before += len(content)


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m host.flash", description="Puts a chip's share of a model onto a board."
    )
    add = parser.add_argument
    add("--board", metavar="NAME", help="which board it is (python -m host.boards lists them)")
    add("--port", metavar="PORT", help="its serial port, as /dev/ttyACM0, or a pyserial URL")
    add("--chip-id", type=int, metavar="I", help="which chip of the cluster it becomes, from 0")
    add("--chips", type=int, default=5, metavar="N", help="how many chips there are (default 5)")
    add("--model", metavar="FILE", help="a llama2.c checkpoint")
    add("--link", choices=("uart", "espnow"), default="espnow",
        help="a serial port per chip, or radio with chip 0 as the gateway (default)")
    add("--context", type=int, metavar="N",
        help="positions that the chips' caches hold (default: what the model allows)")
    return parser.parse_args(arguments)  # fmt: skip


def run(options: argparse.Namespace, console: Console) -> None:
    """Flashes and says what was done. Raises what main prints as one line."""
    for name in ("board", "port", "chip_id", "model"):
        if getattr(options, name) is None:
            option = name.replace("_", "-")
            raise FlashError(f"no {option}: give --{option} or {name.upper()}=")
    place = Place(
        load(options.board),
        options.port,
        options.chip_id,
        options.chips,
        options.link,
        options.context,
    )
    place.check()
    with console.status("quantizing"):
        model = _model(options.model)
    with _progress(console) as progress:
        task = progress.add_task("looking at the board", total=None)
        done = flashed(
            model,
            place,
            lambda path, written, total: progress.update(
                task, description=path, completed=written, total=total
            ),
        )
    print(_summary(place, done))


def _summary(place: Place, done: Flashed) -> str:
    write, removed = done.changes.write, set(done.changes.remove) - set(done.changes.write)
    parts = [f"{len(write)} files ({done.changes.size} bytes) copied"]
    parts.append(f"{done.files - len(write)} were there")
    if removed:
        parts.append(f"{len(removed)} old ones removed")
    version = ".".join(map(str, done.version))
    return (
        f"chip {place.chip} of {place.chips} on {place.port} ({place.board.name}, MicroPython"
        f" {version}): {', '.join(parts)}"
    )


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _model(path: str) -> QuantizedModel:
    """The model at `path`, in integers; no tokenizer is needed. Raises ModelError."""
    if loading.format_of(path) is loading.Format.QUANTIZED:
        return loading.loaded(path).quantized()
    return quantized(loading.checkpoint(path))


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    options = parsed(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # not without cleaning up
    try:
        run(options, Console(stderr=True))
    except _FAILURES as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
