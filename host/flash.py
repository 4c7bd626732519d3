"""Makes a board a chip of the cluster: `python -m host.flash --board esp32s3 --chip-id 2`.

Writes MicroPython and the chip's files to its flash, starts it, hears that it is ready, and keeps
federation.toml. Repeating a command that was broken off finishes the job.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from host.cli.arguments import INTERRUPTED, TERMINATED, Parser, count_up_to, exit_code
from host.cluster import cluster_file
from host.cluster.cluster_file import LINES, LINKS, Cluster, FlashedChip
from host.cluster.ports import candidates, probable_port
from host.errors import BoardError, BuildError, ClusterError, FlashError, ModelError
from host.flashing.board_files import System
from host.flashing.esptool import run_on
from host.flashing.firmware_files import firmware_file
from host.flashing.firmware_image import firmware_image
from host.flashing.flashing import READY_PATIENCE, checked_chip, flash_content, flashed, ready
from host.flashing.placing import Place
from host.flashing.port_choice import Ask, chosen_port
from host.flashing.registry import (
    agreed_key,
    check_permission,
    cluster_for,
    other_boards,
    recorded,
)
from host.flashing.updating import Updated, updated
from host.hardware.board import Board, board_names, load
from host.model import loading
from host.model.quantized import QuantizedModel
from host.parallel.assessment import choose_parallelism
from host.parallel.boards import BoardSet
from host.parallel.options import CHOICES, parse_parallelism
from host.parallel.parallelism import HOST_REDUCE, REDUCERS
from host.parallel.plan import MAX_CHIPS
from host.paths import HOME_MODEL

CHIPS = 5
MAX_CONTEXT = 65535  # positions that a message can name
_FAILURES = (BoardError, ClusterError, BuildError, FlashError, ModelError)


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m host.flash",
        description="Makes a board a chip of the cluster: MicroPython, firmware, its share.",
    )
    add = parser.add_argument
    add("--board", metavar="NAME", help="which board it is (python -m host.boards lists them)")
    add("--chip-id", type=int, metavar="I", help="which chip of the cluster it becomes, from 0")
    add("--port", metavar="PORT",
        help="its serial port, as /dev/ttyACM0 (default: the one that a board is at)")
    add("--chips", type=count_up_to(MAX_CHIPS), metavar="N",
        help=f"how many chips there are (default {CHIPS})")
    add("--boards", metavar="NAME,...",
        help="the board of each chip, where they differ: work is dealt by heap and speed (default:"
        " all chips are dealt the same, as far as the smallest board has room)")
    add("--model", metavar="PATH", help="as host.run takes it (default models/home.bin)")
    add("--tokenizer", metavar="FILE", help="its tokenizer, as host.run takes it")
    add("--link", choices=LINKS,
        help="a serial port per chip, or radio with chip 0 as the gateway (default)")
    add("--context", type=count_up_to(MAX_CONTEXT), metavar="N",
        help="positions that the chips' caches hold (default: what the model allows)")
    add("--line", choices=LINES,
        help="where the host's serial line ends: at the USB port (default), or at the pins of"
        " the board's second UART")
    add("--parallel", choices=CHOICES,
        help="how the model is divided, as host.run has it (default: as before, else tensor)")
    add("--stages", type=count_up_to(MAX_CHIPS), metavar="S",
        help="how many groups of --parallel hybrid (default 2)")
    add("--reduce", choices=REDUCERS,
        help="who adds up the chips' partial sums: the host (default), or the chips themselves")
    add("--key", action=argparse.BooleanOptionalAction, default=None,
        help="sign all frames with the cluster's random key (default), or none")
    add("--firmware", type=Path, metavar="PATH",
        help="MicroPython's image, or a folder of official ones (default: download it)")
    add("--sha256", metavar="HEX", help="what that image must have")
    add("--update", action="store_true",
        help="copy what has changed to a board that runs MicroPython, and leave that")
    add("--yes", action="store_true", help="replace a chip of the cluster without asking")
    return parser.parse_args(arguments)  # fmt: skip


@dataclass
class Job:
    """What is to be done; `place` has its port, `cluster` is what it will be then, and `stale` are
    the chips that have another key."""

    options: argparse.Namespace
    model: QuantizedModel
    place: Place
    cluster: Cluster
    console: Console
    ask: Ask
    stale: Sequence[int] = ()

    def check_permission(self, mac: str) -> None:
        """Raises FlashError unless the board of this MAC may become the chip."""
        check_permission(self.cluster, self.place.chip, mac, self.ask, self.options.yes)

    def agreed(self) -> Place:
        """The place, with the key that the cluster has from now on, in its file too."""
        key, self.stale = agreed_key(self.cluster, self.place.chip, cluster_file.FILE)
        self.place, self.cluster = replace(self.place, key=key), replace(self.cluster, key=key)
        return self.place


def run(options: argparse.Namespace, console: Console) -> None:
    """Flashes and says what was done. Raises what main prints as one line."""
    job = _job(options, console)
    with _progress(console) as progress:
        # A question to the user would stand in the middle of a bar that moves.
        mac, said = _update(job, progress) if options.update else _flash(job, progress)
    place = job.place
    chip = FlashedChip(place.chip, place.board.name, mac, place.port)
    stale = sorted({*job.stale, *recorded(job.cluster, chip, cluster_file.FILE)})
    who = f"chip {place.chip} of {place.chips} on {place.port} ({place.board.name}, {mac})"
    print(f"{who}: {said}")
    if stale:
        numbers = ", ".join(map(str, stale))
        print(f"the cluster is another now: flash again chip{'s' * (len(stale) > 1)} {numbers}")
    said, port = _heard(job, mac)
    if port != chip.port:
        recorded(job.cluster, replace(chip, port=port), cluster_file.FILE)
    print(said)


def _job(options: argparse.Namespace, console: Console) -> Job:
    before = cluster_file.read()
    kinds = _boards(options, before)
    for name in ("board", "chip_id"):
        known = name == "board" and kinds
        if getattr(options, name) is None and not known:
            option = name.replace("_", "-")
            raise FlashError(f"no {option}: give --{option} or {name.upper()}=")
    # Where there is no such chip, place.check says so.
    named = kinds[options.chip_id : options.chip_id + 1] or kinds[:1]
    place = Place(
        load(options.board) if options.board else named[0],
        "",
        options.chip_id,
        options.chips or len(kinds) or (before.chips if before else CHIPS),
        options.link or (before.link if before else "espnow"),
        options.context or (before.context if before and not options.model else None),
        line=options.line or (before.line if before else "usb"),
        combine=options.reduce or (before.combine if before else "host"),
        boards=kinds,
        stages=before.stages if before and not options.parallel else 0,
    )
    place.check()
    path = options.model or (before.model if before else str(HOME_MODEL))
    with console.status("quantizing"):
        # As host.run loads it: both must come to the same integers.
        model = loading.load_model(path, options.tokenizer).quantize()
    if options.parallel:
        place = place_in_parallelism(place, options, model, before)
        place.check()
    cluster = cluster_for(model, path, place, cluster_file.FILE, options.key)
    place = replace(
        place, key=cluster.key, channel=cluster.channel, others=other_boards(cluster, place.chip)
    )
    place.plan(model)  # that it does not fit is to be known before a board is looked for
    ask: Ask = input if sys.stdin.isatty() else None
    port = options.port or chosen_port(candidates(), before, place.chip, ask)
    return Job(options, model, replace(place, port=port), cluster, console, ask)


def _boards(options: argparse.Namespace, before: Cluster | None) -> tuple[Board, ...]:
    """Those of all chips, as they are named now or, for as many chips, were before; empty where
    nobody has."""
    if options.boards is not None:
        names = tuple(board_names(options.boards))
    else:
        kept = before is not None and options.chips in (None, before.chips)
        names = before.boards if before and kept else ()
    return tuple(load(name) for name in names)


def place_in_parallelism(
    place: Place, options: argparse.Namespace, model: QuantizedModel, before: Cluster | None
) -> Place:
    """The place in a cluster that works as --parallel says. Raises ModelError, BoardError."""
    layers = model.config.layers
    parallelism = parse_parallelism(
        options.parallel, options.stages, options.reduce, layers, place.chips
    )
    if parallelism is None and (place.link, place.line) == ("uart", "usb"):
        parallelism = HOST_REDUCE  # the only one whose messages the REPL's port can take
    elif parallelism is None:
        known = {chip.id: load(chip.board) for chip in before.flashed} if before else {}
        known[place.chip] = place.board
        alike = tuple(known.get(chip, place.board) for chip in range(place.chips))
        boards = place.boards or alike
        signed = options.key is not False
        parallelism = choose_parallelism(
            model, BoardSet(boards, place.link, place.context, signed, place.line)
        )
    stages = 0 if parallelism.strategy == "tensor" else parallelism.stages
    return replace(place, combine=parallelism.reduce, stages=stages)


def _flash(job: Job, progress: Progress) -> tuple[str, str]:
    """The board's MAC, and what was done."""
    task = progress.add_task("looking at the board", total=None)

    def downloaded(size: int, total: int | None) -> None:
        progress.update(task, description="downloading", completed=size, total=total)

    def written(name: str, size: int, total: int) -> None:
        progress.update(task, description=f"writing {name}", completed=size, total=total)

    place, options = job.place, job.options
    chip = checked_chip(place)
    try:
        progress.stop()
        job.check_permission(chip.mac)
        progress.start()
        path = firmware_file(place.board, options.firmware, options.sha256, downloaded)
        image = firmware_image(path, place.board)
        place = job.agreed()
        content = flash_content(job.model, place, image, chip.flash_size)
    except BaseException:
        run_on(place.port)
        raise
    size = flashed(place, content, chip, written)
    version = ".".join(map(str, image.version))
    return chip.mac, f"MicroPython {version} and files, {size} bytes, in the flash and verified"


def _update(job: Job, progress: Progress) -> tuple[str, str]:
    """The board's MAC, and what was done."""
    task = progress.add_task("looking at the board", total=None)

    def permitted(system: System) -> Place:
        progress.stop()
        job.check_permission(system.mac)
        progress.start()
        return job.agreed()

    done = updated(
        job.model,
        job.place,
        lambda path, written, total: progress.update(
            task, description=path, completed=written, total=total
        ),
        permitted,
    )
    return done.system.mac, _what_was_copied(done)


def _what_was_copied(done: Updated) -> str:
    write, removed = done.changes.write, set(done.changes.remove) - set(done.changes.write)
    parts = [f"{len(write)} files ({done.changes.size} bytes) copied"]
    parts.append(f"{done.files - len(write)} were there")
    if removed:
        parts.append(f"{len(removed)} old ones removed")
    return f"MicroPython {'.'.join(map(str, done.system.version))}, {', '.join(parts)}"


def _heard(job: Job, mac: str) -> tuple[str, str]:
    """What the chip says after its start, or why it was not asked; and the port that its board
    is at now, as far as it is known. Raises FlashError."""
    place = job.place
    gateway = job.cluster.chip(0)
    if place.line == "pins":
        return "not asked whether it is ready: its line is not this port", place.port
    if place.link == "uart" or place.chip == 0:
        return _asked(job, mac, place.port)
    if gateway is None:
        through = "it is reached through chip 0, not flashed yet"
        return f"not asked whether it is ready: {through}", place.port
    port = probable_port(gateway.mac, gateway.port, candidates())
    if port in (None, place.port):  # on a radio chip's own port a greeting would be Ctrl-C
        through = "it is reached through chip 0, not plugged in now"
        return f"not asked whether it is ready: {through}", place.port
    try:
        return _asked(job, gateway.mac, gateway.port)[0], place.port
    except FlashError as error:
        return f"not heard through chip 0: {error}", place.port


def _asked(job: Job, mac: str, port: str) -> tuple[str, str]:
    """What the chip says, and at which port; mac, port: of the board at the host's line."""

    def where() -> str | None:
        return probable_port(mac, port, candidates())

    with job.console.status("waiting for the chip"):
        said, found = ready(job.model, job.place, where, READY_PATIENCE)
    text = (
        f"ready: model {said.model_hash.hex()}, firmware {said.firmware}, {said.heads} heads,"
        f" {said.units} units, {said.rows} rows, {said.heap_free // 1024} KB of heap free"
    )
    return text, found


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    options = parsed(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # not without cleaning up
    return exit_code(lambda: _run(options), _FAILURES)


def _run(options: argparse.Namespace) -> int:
    try:
        run(options, Console(stderr=True))
    except EOFError:
        raise FlashError("no answer, and nothing was changed") from None
    except KeyboardInterrupt as error:
        where = f" while {error}" if error.args else ""
        print(f"interrupted{where}: the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
