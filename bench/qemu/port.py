"""MicroPython's own QEMU port for RISC-V, built from Debian's source package.

It is the board VIRT_RV32 with a module of ours added. Its code is compiled for rv32imac, its viper
code is rv32imc as on an ESP32-C3.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.qemu.toolchain import ARCHITECTURE, GCC, Toolchain
from host.errors import SetupError
from host.setup import run_step
from host.setup.debian import Archive

_FOLDER = Path(__file__).resolve().parent
# So that the compiler knows the counter's register in an instruction set whose name it also
# finds a C library for.
_ISA = "-misa-spec=2.2"

# How the ESP32 port is compiled, which by itself this one is not.
_AS_ON_BOARDS = ("COPT=-O2 -DNDEBUG", "CFLAGS_EXTRA=-DMICROPY_OPT_COMPUTED_GOTO=1")


@dataclass(frozen=True)
class Build:
    """What the port is built with: a folder of modules in C, a heap in bytes, settings of make and
    options for the linker."""

    modules: Path
    heap: int
    settings: tuple[str, ...] = ()
    linking: str = ""


# Counts instructions, of a chip that is handed its frames; the heap is what the port's 2 MB of
# memory leave besides the program's own, which holds the largest shard.
COUNTER = Build(_FOLDER / "modules", 1856 * 1024)
# Starts by itself from a flash with littlefs. At the prompt as much of its heap is free as an
# ESP32-C3 has then for heap and machine code together (ram_kb in boards/esp32c3.toml), for here it
# holds both, besides the stand-ins of modules that are C on a board.
BOARD = Build(
    _FOLDER / "board", (210 + 16) * 1024, ("MICROPY_VFS_LFS2=1",),
    "-Wl,--wrap=pyexec_friendly_repl",
)  # fmt: skip


def firmware(folder: Path, toolchain: Toolchain, build: Build = COUNTER) -> Path:
    """Returns the program for QEMU, built in `folder` unless it is there. Raises SetupError."""
    options = (build.settings, build.linking) if build.settings else ()
    key = hashlib.sha256(" ".join(map(str, (build.heap, _AS_ON_BOARDS, *options))).encode())
    for source in sorted(build.modules.glob("*/*.[cm]*")):
        key.update(source.read_bytes())
    built = folder / f"micropython-{key.hexdigest()[:12]}.elf"
    if not built.exists():
        for program in ("make", "cc"):
            if not shutil.which(program):
                raise SetupError(f"no {program} here to build MicroPython's QEMU port")
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            shutil.copy(_compiled(Path(temporary), toolchain, build, folder / "build.log"), built)
    return built


def _compiled(folder: Path, toolchain: Toolchain, build: Build, log: Path) -> Path:
    archive = Archive(folder, "amd64", sources=True)
    tree = folder / "tree"
    tree.mkdir()
    run_step("tar", "-xf", str(archive.download_source("micropython")), "--strip-components=1",
             "-C", str(tree))  # fmt: skip
    command = [
        "make", f"-j{os.cpu_count() or 1}", "-C", str(tree / "ports/qemu"), "BOARD=VIRT_RV32",
        f"RV32_ARCH={ARCHITECTURE}", f"PICOLIBC_SPECS={toolchain.specs}",
        f"CROSS_COMPILE={GCC.removesuffix('gcc')}", f"USER_C_MODULES={build.modules}",
        f"MICROPY_HEAP_SIZE={build.heap}", "FROZEN_MANIFEST=", *_AS_ON_BOARDS, *build.settings,
    ]  # fmt: skip
    environment = {
        **toolchain.environment(), "AFLAGS": _ISA, "LDFLAGS": f"{_ISA} {build.linking}",
        "MAKEFLAGS": "",
    }  # fmt: skip
    with log.open("w") as out:
        ended = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    if ended.returncode:
        raise SetupError(f"building MicroPython's QEMU port failed: see {log}")
    return tree / "ports/qemu/build-VIRT_RV32/firmware.elf"
