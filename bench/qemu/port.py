"""MicroPython's own QEMU port for RISC-V, built from Debian's source package.

It is the board VIRT_RV32 with the module `counter` added (modules/counter), and a heap that holds
the largest share. Its code is compiled for rv32imac, its viper code is rv32imc as on an ESP32-C3.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.qemu.toolchain import ARCHITECTURE, GCC, Toolchain
from host.errors import SetupError
from host.setup import run_step
from host.setup.debian import Archive

_MODULES = Path(__file__).resolve().parent / "modules"
HEAP = 1856 * 1024  # what the board's 2 MB of memory leave beside the program's own
# So that the compiler knows the counter's register in an instruction set whose name it also
# finds a C library for.
_ISA = "-misa-spec=2.2"

# How the ESP32 port is compiled, which by itself this one is not.
_AS_ON_BOARDS = ("COPT=-O2 -DNDEBUG", "CFLAGS_EXTRA=-DMICROPY_OPT_COMPUTED_GOTO=1")


def firmware(folder: Path, toolchain: Toolchain) -> Path:
    """The program for QEMU, built in `folder` unless it is there. Raises SetupError."""
    key = hashlib.sha256(f"{HEAP} {_AS_ON_BOARDS}".encode())
    for source in sorted(_MODULES.glob("*/*")):
        key.update(source.read_bytes())
    built = folder / f"micropython-{key.hexdigest()[:12]}.elf"
    if not built.exists():
        for program in ("make", "cc"):
            if not shutil.which(program):
                raise SetupError(f"no {program} here to build MicroPython's QEMU port")
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            shutil.copy(_compiled(Path(temporary), toolchain, folder / "build.log"), built)
    return built


def _compiled(folder: Path, toolchain: Toolchain, log: Path) -> Path:
    archive = Archive(folder, "amd64", sources=True)
    tree = folder / "tree"
    tree.mkdir()
    run_step("tar", "-xf", str(archive.download_source("micropython")), "--strip-components=1",
             "-C", str(tree))  # fmt: skip
    command = [
        "make", f"-j{os.cpu_count() or 1}", "-C", str(tree / "ports/qemu"), "BOARD=VIRT_RV32",
        f"RV32_ARCH={ARCHITECTURE}", f"PICOLIBC_SPECS={toolchain.specs}",
        f"CROSS_COMPILE={GCC.removesuffix('gcc')}", f"USER_C_MODULES={_MODULES}",
        f"MICROPY_HEAP_SIZE={HEAP}", "FROZEN_MANIFEST=", *_AS_ON_BOARDS,
    ]  # fmt: skip
    environment = {**toolchain.environment(), "AFLAGS": _ISA, "LDFLAGS": _ISA, "MAKEFLAGS": ""}
    with log.open("w") as out:
        ended = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    if ended.returncode:
        raise SetupError(f"building MicroPython's QEMU port failed: see {log}")
    return tree / "ports/qemu/build-VIRT_RV32/firmware.elf"
