"""Writes a board's flash through its ROM bootloader, by esptool as a child process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from esptool.targets import CHIP_DEFS

from host.errors import FlashError
from host.flashing.esptool_failures import NoisyLine, explain_locked, make_error
from host.private_file import open_private

# Bits a second while writing: a speed that the CP2102 and slower bridges carry without errors; and
# then, if the line turns out to be noisy, one that any line carries.
BAUDS = (460_800, 115_200)
_CONNECT_BAUD = 115_200  # esptool's default, at which it connects to the bootloader
_ATTEMPTS = 3  # to reset the chip into its bootloader, some 2 seconds each
_MB = 1 << 20

_KIND = re.compile(r"^Connected to (ESP32\S*) on ", re.MULTILINE)
# Of a C6 esptool prints a longer address as "MAC", and the usual one as "BASE MAC".
_MAC = re.compile(r"^(?:BASE )?MAC: +((?:[0-9a-f]{2}:){5}[0-9a-f]{2})$", re.MULTILINE)
_SIZE = re.compile(r"^Detected flash size: (\d+)MB$", re.MULTILINE)
# The first comes before a segment's first block is sent, the second after each that has arrived.
_WRITING = re.compile(r"^(?:Flash will be erased from|Writing at) 0x([0-9a-f]{8}) ")


@dataclass(frozen=True)
class ConnectedChip:
    """A chip in its bootloader. kind: as in boards/ ("esp32s3"); flash_size: bytes."""

    kind: str
    mac: str
    flash_size: int


@dataclass(frozen=True)
class Segment:
    """Content to write at `offset` of the flash; name: for messages."""

    name: str
    offset: int
    content: bytes


# Called with the name of the segment being written, the bytes written so far, and all bytes.
OnProgress = Callable[[str, int], None]


def choose_bauds(given: int | None) -> tuple[int, ...]:
    """Returns the speeds to try for writing, in order: the given one, then slower ones."""
    return BAUDS if given is None else (given, *(baud for baud in BAUDS if baud < given))


def identify_chip(port: str, baud: int | None = None) -> ConnectedChip:
    """Returns which chip is on a port; baud: a lower speed, if the user gives one.

    The chip stays in its bootloader: a user may have brought it there by hand, and a reset would
    end that. Raises FlashError.
    """
    baud = min(baud or _CONNECT_BAUD, _CONNECT_BAUD)
    options = ["--baud", str(baud), "--after", "no-reset"]
    try:
        output = _run(
            port, ["flash-id"], lambda: "asking which chip it is", lambda line: None, options
        )
    except NoisyLine as error:
        raise FlashError(_too_noisy(error, baud)) from None
    if "in Secure Download Mode" in output:
        raise FlashError(explain_locked(port))
    kind, mac, size = _KIND.search(output), _MAC.search(output), _SIZE.search(output)
    if not kind or not mac or not size:
        raise FlashError(f"cannot tell what is on {port}: no kind, MAC or flash size was found")
    names: dict[str, str] = {chip.CHIP_NAME: name for name, chip in CHIP_DEFS.items()}
    return ConnectedChip(names.get(kind[1], kind[1]), mac[1], int(size[1]) * _MB)


def leave_bootloader(port: str) -> None:
    """Resets a chip in its bootloader, if possible, so that it runs what is in its flash."""
    with suppress(FlashError):
        options = ["--before", "no-reset", "--no-stub"]
        _run(port, ["read-mac"], lambda: "resetting it", lambda line: None, options)


def write(
    port: str,
    kind: str,
    segments: Sequence[Segment],
    on_progress: OnProgress,
    bauds: Sequence[int] = BAUDS,
    on_retry: Callable[[str], None] = lambda line: None,
    flash_size: int | None = None,
) -> None:
    """Writes segments to the flash of a chip of this kind, except those already there; verifies
    them by MD5, and resets the chip.

    bauds: speeds to try, each if the line was too noisy for the one before; on_retry: called then
    with a line of text; flash_size: bytes, written into the header of MicroPython's bootloader,
    None for those in its image. Raises FlashError that names the segment at which it stopped.
    """
    for number, baud in enumerate(bauds, 1):
        try:
            _write(port, kind, segments, on_progress, baud, flash_size)
            return
        except NoisyLine as error:
            if number == len(bauds):
                raise FlashError(_too_noisy(error, baud)) from None
            on_retry(f"{error}: once more, at {bauds[number]:,} in place of {baud:,} baud")


def _too_noisy(error: NoisyLine, baud: int) -> str:
    return (
        f"{error}, at {baud:,} baud too: give a lower --baud, as {baud // 2}, and use a shorter"
        " cable and no hub"
    )


def _write(
    port: str,
    kind: str,
    segments: Sequence[Segment],
    on_progress: OnProgress,
    baud: int,
    flash_size: int | None,
) -> None:
    place = _Place(segments, on_progress)
    files: list[int] = []
    with ExitStack() as stack:
        arguments = ["write-flash", "--skip-flashed"]
        if flash_size:
            arguments += ["--flash-size", f"{flash_size // _MB}MB"]
        for segment in segments:
            # One has the cluster's key in it.
            file = stack.enter_context(open_private(segment.content))
            files.append(file.descriptor)
            arguments += [hex(segment.offset), file.path]
        options = ["--chip", kind, "--baud", str(baud)]
        _run(port, arguments, place.doing, place.line, options, files)


class _Place:
    """Follows by its output what esptool is doing."""

    def __init__(self, segments: Sequence[Segment], on_progress: OnProgress) -> None:
        self._segments, self._on_progress = segments, on_progress
        self._doing = "connecting"

    def doing(self) -> str:
        """Returns what esptool is doing, as text."""
        return self._doing

    def line(self, line: str) -> None:
        """Takes in a line of esptool's output."""
        if line.startswith("Verifying"):
            self._doing = self._doing.replace("writing", "verifying")
        match = _WRITING.match(line)
        if not match:
            return
        address, before = int(match[1], 16), 0
        for segment in self._segments:
            size = len(segment.content)
            if segment.offset <= address <= segment.offset + size:
                self._doing = f"writing {segment.name}, {size // 1024} KB at {segment.offset:#x}"
                self._on_progress(segment.name, before + address - segment.offset)
                return
            before += size


def _run(
    port: str,
    arguments: Sequence[str],
    doing: Callable[[], str],
    line_came: Callable[[str], None],
    options: Sequence[str] = (),
    files: Sequence[int] = (),
) -> str:
    """Runs esptool and returns its output; files: descriptors that it inherits.

    Raises FlashError; a KeyboardInterrupt carries what was being done.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "esptool", "--port", port, "--connect-attempts", str(_ATTEMPTS),
         *options, *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
        env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "300", "TERM": "dumb",
             "NO_COLOR": "1"},
        pass_fds=files,
        start_new_session=True,  # Ctrl-C goes to this program only, which ends esptool
    )  # fmt: skip
    output = []
    assert process.stdout is not None
    try:
        for line in process.stdout:
            output.append(line)
            line_came(line)
        if process.wait():
            raise make_error(port, "".join(output), doing())
    except KeyboardInterrupt:
        raise KeyboardInterrupt(doing()) from None
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait()
        process.stdout.close()
    return "".join(output)
