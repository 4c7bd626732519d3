"""Emulated boards: a QEMU each, which starts MicroPython and our firmware from its own flash, with
its serial port at a socket to which the host connects as to any board's.

What is real: MicroPython for RISC-V with its loader, its soft resets and the heap of an ESP32-C3,
littlefs, the very files that `make flash` writes, machine code included, and bytes through a
16550's registers. What is not: time, pins, light, watchdog and radio, of which board/standins/ has
what the firmware asks for; and the line is faster than any and holds back what a board would lose.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import REPOSITORY
from bench.qemu.machine import rom_image
from bench.qemu.port import BOARD, firmware
from bench.qemu.toolchain import Toolchain
from host.build.compilation import compiled
from host.errors import SetupError
from host.flashing.filesystem_image import make_filesystem

ARCHITECTURE = "rv32imc"
FLASH_SIZE = 0x200000  # as board/standins/_boot.py has it
_STANDINS = Path(__file__).resolve().parent / "board" / "standins"
# In memory that the program leaves alone; board/hardware/hardware.c and _boot.py have them too.
_ROM, _FLASH = 0x80800000, 0x81000000
_NEOPIXEL = REPOSITORY / "host" / "simulation" / "standins" / "neopixel.py"


class EmulatedBoards:
    """A context manager around boards that were switched on; all end with it."""

    def __init__(
        self, folder: Path, files: Sequence[Mapping[str, bytes]], slower: int = 1
    ) -> None:
        """folder: of the emulator and its program; files: those in each board's flash, content by
        path; slower: by how much their clocks are. Raises SetupError if QEMU cannot be had."""
        toolchain = Toolchain(folder)
        program = firmware(folder, toolchain, BOARD)
        self.urls: list[str] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        self._exit = ExitStack()
        try:
            place = Path(self._exit.enter_context(tempfile.TemporaryDirectory(prefix="boards")))
            rom = place / "standins.romfs"
            rom.write_bytes(rom_image(_standins(slower)))
            for number, content in enumerate(files):
                flash = place / f"flash{number}"
                flash.write_bytes(make_filesystem(content, FLASH_SIZE))
                self._start(toolchain, program, {_ROM: rom, _FLASH: flash})
        except BaseException:
            self.close()
            raise

    def _start(self, toolchain: Toolchain, program: Path, images: Mapping[int, Path]) -> None:
        """Switches one on, its line at a port of its own."""
        listener = self._exit.enter_context(socket.create_server(("127.0.0.1", 0)))
        line = f"socket,id=line,fd={listener.fileno()},server=on,wait=off,nodelay=on"
        command = [
            *toolchain.qemu(), "-machine", "virt", "-bios", "none", "-display", "none",
            "-monitor", "none", "-semihosting", "-chardev", line, "-serial", "chardev:line",
            "-kernel", str(program),
        ]  # fmt: skip
        for address, path in images.items():
            command += ["-device", f"loader,file={path},addr={address:#x},force-raw=on"]
        try:
            process = subprocess.Popen(
                command, env=toolchain.environment(), stdin=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
            )  # fmt: skip
        except OSError as reason:
            raise SetupError(f"QEMU does not run: {reason}") from reason
        self.processes.append(process)
        self._exit.callback(process.wait)
        self._exit.callback(process.kill)
        self.urls.append(f"socket://127.0.0.1:{listener.getsockname()[1]}")

    def close(self) -> None:
        """Switches all off."""
        self._exit.close()

    def __enter__(self) -> EmulatedBoards:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _standins(slower: int) -> dict[str, bytes]:
    """Returns the modules that the port has not, which is where a board's have theirs in C."""
    clock = f"_SLOWER = const({slower})".encode()
    return {
        f"{path.stem}.mpy": compiled(
            path.read_bytes().replace(b"_SLOWER = const(1)", clock), path.name, ARCHITECTURE
        )
        for path in [*_STANDINS.glob("*.py"), _NEOPIXEL]
    }
