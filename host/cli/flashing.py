"""Carries out a flash command: shows progress, and verifies that the chip starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from host.cli.console import Console
from host.cli.flash_job import FlashJob
from host.cluster import cluster_file
from host.cluster.cluster_fields import FlashedChip
from host.cluster.ready_check import READY_TIMEOUT, await_ready
from host.cluster.registry import record
from host.errors import FlashError
from host.flashing.board_files import System
from host.flashing.esptool import Segment, leave_bootloader
from host.flashing.firmware_files import find_image_file
from host.flashing.firmware_image import read_image
from host.flashing.flashing import check_chip, count_seconds, flash_segments, write_segments
from host.flashing.updating import Updated, update
from host.links.discovery import find_candidates, locate
from host.wire.reports import describe_mapping

_LONG = 60  # seconds of writing that are announced beforehand


def run_job(job: FlashJob, console: Console) -> None:
    """Flashes a board, records its chip and prints what was done. Raises FlashError, BuildError,
    ModelError, ClusterError."""
    if job.choice:
        print(job.choice)
    if job.model.config.qk_norm:
        print("kernels: viper's, for none in machine code normalizes queries and keys")
    with _progress(console) as progress:
        mac, done = (update_board if job.options.update else flash_board)(job, progress)
    place = job.place
    chip = FlashedChip(place.chip, place.board.name, mac, place.port)
    stale = sorted({*job.stale, *record(job.cluster, chip, cluster_file.FILE)})
    who = f"chip {place.chip} of {place.chips} on {place.port} ({place.board.name}, {mac})"
    print(f"{who}: {done}")
    if stale:
        numbers = ", ".join(map(str, stale))
        print(f"the cluster has changed: flash again chip{'s' * (len(stale) > 1)} {numbers}")
    report, port = check_ready(job, mac, console)
    if port != chip.port:
        record(job.cluster, replace(chip, port=port), cluster_file.FILE)
    print(report)


def flash_board(job: FlashJob, progress: Progress) -> tuple[str, str]:
    """Writes the whole flash of a board; returns its MAC, and a text on what was done."""
    task = progress.add_task("looking at the board", total=None)

    def on_download(size: int, total: int | None) -> None:
        progress.update(task, description="downloading", completed=size, total=total)

    def on_progress(name: str, size: int, total: int) -> None:
        progress.update(task, description=f"writing {name}", completed=size, total=total)

    board, port, options = job.place.board, job.place.port, job.options
    chip = check_chip(port, board, options.baud)
    try:
        _check_permission(job, chip.mac, progress)
        path = find_image_file(board, options.firmware, options.sha256, on_download)
        image = read_image(path, board)
        files = job.agree_on_key().files(job.model, image.version)
        content = flash_segments(files, board, image, chip.flash_size)
    except BaseException:
        leave_bootloader(port)
        raise
    seconds = count_seconds(content, options.baud)
    if seconds > _LONG:
        progress.console.print(_announce(content, seconds), highlight=False)
    size = write_segments(
        port, content, chip, on_progress, options.baud, progress.console.print
    )
    version = ".".join(map(str, image.version))
    return chip.mac, f"MicroPython {version} and files, {size} bytes, in the flash and verified"


def _announce(content: Sequence[Segment], seconds: float) -> str:
    """Returns a line on how long writing takes."""
    size = sum(len(segment.content) for segment in content)
    minutes, left = divmod(round(seconds), 60)
    return (
        f"writing {size:,} bytes takes up to {minutes}:{left:02d} minutes, less if some are there"
        " already; it can be interrupted, and the same command goes on"
    )


def update_board(job: FlashJob, progress: Progress) -> tuple[str, str]:
    """Copies changed files to a board that runs MicroPython; returns its MAC, and a text on what
    was done."""
    task = progress.add_task("looking at the board", total=None)

    def make_files(system: System) -> dict[str, bytes]:
        _check_permission(job, system.mac, progress)
        return job.agree_on_key().files(job.model, system.version)

    def on_progress(path: str, size: int, total: int) -> None:
        progress.update(task, completed=size, total=total, description=path)

    done = update(job.place.port, job.place.board, make_files, on_progress)
    return done.system.mac, _describe_update(done)


def check_ready(job: FlashJob, mac: str, console: Console) -> tuple[str, str]:
    """Waits for the chip to start. Raises FlashError.

    Returns a text on what it reports, or why it was not asked; and the port of its board now, as
    far as that is known.
    """
    place = job.place
    gateway = job.cluster.chip(0)
    if place.link.line == "pins":
        return "not asked whether it is ready: its line is not this port", place.port
    if job.cluster.has_line(place.chip):
        return _await_ready(job, mac, place.port, console)
    if gateway is None:
        through = "it is reached through chip 0, not flashed yet"
        return f"not asked whether it is ready: {through}", place.port
    port = locate(gateway.mac, gateway.port, find_candidates())
    if port in (None, place.port):  # on a radio chip's own port a probe would be Ctrl-C
        through = "it is reached through chip 0, not plugged in now"
        return f"not asked whether it is ready: {through}", place.port
    try:
        return _await_ready(job, gateway.mac, gateway.port, console)[0], place.port
    except FlashError as error:
        return f"no answer through chip 0: {error}", place.port


def _await_ready(job: FlashJob, mac: str, port: str, console: Console) -> tuple[str, str]:
    """Returns what the chip reports, and at which port; mac, port: of the board at the host's
    line."""
    with console.status("waiting for the chip"):
        ready, found = await_ready(
            job.model, job.place, lambda: locate(mac, port, find_candidates()), READY_TIMEOUT
        )
    text = (
        f"ready: model {ready.model_hash.hex()}, firmware {ready.firmware}, {ready.heads} heads,"
        f" {ready.units} units, {ready.rows} rows, {ready.heap_free // 1024} KB of heap free,"
        f" kernels: {ready.kernels}{describe_mapping(ready)}"
    )
    return text, found


def _check_permission(job: FlashJob, mac: str, progress: Progress) -> None:
    """Asks the user if need be; progress bars are stopped for the question."""
    progress.stop()
    job.check_permission(mac)
    progress.start()


def _describe_update(done: Updated) -> str:
    write, removed = done.changes.write, set(done.changes.remove) - set(done.changes.write)
    parts = [f"{len(write)} files ({done.changes.size} bytes) copied"]
    parts.append(f"{done.files - len(write)} were there")
    if removed:
        parts.append(f"{len(removed)} old ones removed")
    return f"MicroPython {'.'.join(map(str, done.system.version))}, {', '.join(parts)}"


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
