"""One run of an emulated chip: files go in as a ROM file system, printed lines come out."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mpremote.romfs import VfsRomWriter  # type: ignore[import-untyped]

from bench.qemu.toolchain import Toolchain
from host.errors import SetupError

# Memory that the program leaves alone: the board's program ends at 6 MB, QEMU gives it 128.
_ROM = 0x80800000
_START = """
import sys, uctypes, vfs
vfs.mount(vfs.VfsRom(memoryview(uctypes.bytearray_at({rom}, {size}))), "/rom")
sys.path[:] = ["/rom"]
import os
os.chdir("/rom")
from on_chip import run
run()
"""
_RAW, _END = b"\x01", b"\x04"
_TIMEOUT_S = 300


class EmulationError(Exception):
    """A run that did not end well; the message has the chip's last words."""


def output(program: Path, toolchain: Toolchain, files: Mapping[str, bytes]) -> list[str]:
    """Returns the lines that on_chip.run prints, with `files` by path beside it.

    QEMU counts one nanosecond for each instruction, so that counts never differ between runs.
    Raises EmulationError, and SetupError where QEMU does not run.
    """
    image = rom_image(files)
    with tempfile.NamedTemporaryFile(suffix=".romfs") as rom:
        rom.write(image)
        rom.flush()
        command = [
            *toolchain.qemu(), "-machine", "virt", "-bios", "none", "-nographic",
            "-monitor", "null", "-semihosting", "-serial", "stdio", "-icount", "shift=0",
            "-device", f"loader,file={rom.name},addr={_ROM:#x},force-raw=on",
            "-kernel", str(program),
        ]  # fmt: skip
        script = _START.format(rom=_ROM, size=len(image)).encode()
        try:
            said = _conversation(command, toolchain.environment(), _RAW + script + _END)
        except OSError as reason:
            raise SetupError(f"QEMU does not run: {reason}") from reason
    return _lines(said)


def _conversation(command: list[str], environment: dict[str, str], script: bytes) -> bytes:
    """Returns what the chip says from its start until it has run the script."""
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    said = bytearray()
    try:
        assert process.stdin and process.stdout
        process.stdin.write(script)
        process.stdin.flush()
        # Raw mode ends what was printed and what was raised with one such byte each.
        while said.count(_END) < 2:
            chunk = process.stdout.read1(65536)  # type: ignore[attr-defined]
            if not chunk:
                break
            said += chunk
    finally:
        process.kill()
        process.wait()
    return bytes(said)


def _lines(said: bytes) -> list[str]:
    _, _, ran = said.partition(b"raw REPL; CTRL-B to exit\r\n>OK")
    printed, _, raised = ran.partition(_END)
    raised = raised.partition(_END)[0].strip()
    if raised or not ran:
        words = (raised or said).decode(errors="replace").strip().splitlines()
        raise EmulationError(f"the emulated chip failed: {words[-1] if words else 'no word'}")
    return printed.decode().splitlines()


def rom_image(files: Mapping[str, bytes]) -> bytes:
    """Returns an image of files and their folders."""
    writer = VfsRomWriter()
    inside: list[str] = []  # the folders that are open
    for path, content in sorted(files.items(), key=lambda item: item[0].split("/")):
        *folders, name = path.split("/")
        common = 0
        while inside[common:] and folders[common:] and inside[common] == folders[common]:
            common += 1
        for _ in inside[common:]:
            writer.closedir()
        for folder in folders[common:]:
            writer.opendir(folder)
        inside = folders
        writer.mkfile(name, content)
    for _ in inside:
        writer.closedir()
    image: bytes = writer.finalise()
    return image
