"""Finds the MicroPython that simulated chips and half of the tests run, and installs one.

If $MICROPYTHON is set, that is used. Otherwise the first of these that passes the probe is
installed in the checkout or, for an installed program, in the user's cache folder:

1. Debian's 32-bit build, run through its own loader. Like an ESP32 it has 4-byte pointers,
   31-bit small ints, 32-bit viper ints and 16-byte heap blocks, so its heap figures hold there.
2. A 32-bit `micropython` on PATH.
3. A build from Debian's source package, which needs make and a C compiler for 32 bits.
"""

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from host.errors import SetupError
from host.interrupts import take_interrupts
from host.paths import IS_CHECKOUT, cache_folder
from host.setup import run_step
from host.setup.debian import Archive

FOLDER = cache_folder("interpreter")
LOCAL = FOLDER / "micropython"

OLDEST_VERSION = (1, 25)
OLDEST = ".".join(map(str, OLDEST_VERSION))

# For each machine, Debian's name of the 32-bit architecture that it can run.
ARCHITECTURES = {"x86_64": "i386", "i686": "i386", "aarch64": "armhf", "armv7l": "armhf"}

# mpy-cross's names in the order of MicroPython's numbers (py/persistentcode.h).
NATIVE_ARCHITECTURES = (
    "none", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp",
    "xtensa", "xtensawin", "rv32imc",
)  # fmt: skip

PROBE = """
import binascii, hashlib, json, micropython, select, socket, sys
@micropython.viper
def total(p: ptr8, n: int) -> int:
    s = 0
    while n:
        n -= 1
        s = p[n] + s
    return s
assert total(b"abc", 3) == 294
assert binascii.crc32(b"abc") == 0x352441C2
assert hashlib.sha256(b"abc").digest()[:4] == b"\\xba\\x78\\x16\\xbf"
bits = 64 if sys.maxsize >> 32 else 32
arch = sys.implementation._mpy >> 10 & 15
print(json.dumps({"version": sys.implementation[1][:3], "word_bits": bits, "arch": arch}))
"""

# The loader and the libraries are in one folder of the unpacked packages.
LAUNCHER = """#!/bin/sh
root=$(dirname -- "$(readlink -f -- "$0")")/debian
exec "$root/{loader}" --library-path "$root/{libraries}" "$root/usr/bin/micropython" "$@"
"""


class Interpreter(NamedTuple):
    """A MicroPython: its version, the bits of its machine word, and mpy-cross's name of the
    processor for which it compiles native code."""

    version: tuple[int, ...]
    word_bits: int
    arch: str

    def __str__(self) -> str:
        return f"MicroPython {'.'.join(map(str, self.version))}, {self.word_bits}-bit"


def probe(program: Path) -> Interpreter:
    """Returns the program's version, word size and processor.

    Raises SetupError if it cannot be a simulated chip: it must limit its heap, compile viper
    code, and have the modules that a chip uses.
    """
    command = [str(program), "-X", "heapsize=128K", "-c", PROBE]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as reason:
        raise SetupError(f"{program} does not run: {reason}") from reason
    if ended.returncode:
        said = (ended.stderr or ended.stdout).strip().splitlines()
        last = said[-1] if said else f"status {ended.returncode}"
        raise SetupError(f"{program} cannot be a simulated chip: {last}")
    try:
        found = json.loads(ended.stdout)
    except ValueError:
        raise SetupError(f"{program} is not a MicroPython") from None
    if found["arch"] >= len(NATIVE_ARCHITECTURES):
        raise SetupError(f"{program} runs native code of an unknown processor")
    arch = NATIVE_ARCHITECTURES[found["arch"]]
    interpreter = Interpreter(tuple(found["version"]), found["word_bits"], arch)
    if interpreter.version < OLDEST_VERSION:
        raise SetupError(f"{program} is {interpreter}; {OLDEST} or later is needed")
    if interpreter.word_bits != 32:
        raise SetupError(f"{program} is {interpreter}; a chip's kernels need words of 32 bits")
    return interpreter


def find() -> Path:
    """Returns the MicroPython to run: $MICROPYTHON, or the one that is installed.

    If none is installed, an installed program installs one; in a checkout, raises SetupError.
    """
    if named := os.environ.get("MICROPYTHON"):
        program = shutil.which(named)
        if program is None:
            raise SetupError(f"MICROPYTHON={named} names no program")
        probe(Path(program))
        return Path(program).absolute()
    if not LOCAL.exists():
        if IS_CHECKOUT:
            raise SetupError("there is no MicroPython in this checkout yet: run `make setup`")
        with lock():  # of several commands that start at once, one installs it
            return LOCAL if LOCAL.exists() else provision()
    return LOCAL


@contextmanager
def lock() -> Iterator[None]:
    """Keeps other processes from installing a MicroPython in the same folder."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def native_arch() -> str:
    """Returns mpy-cross's name of the processor that `find()`'s MicroPython runs on."""
    return probe(find()).arch


def install_debian(staging: Path) -> None:
    """Unpacks Debian's 32-bit build for this machine, with a launcher, into the staging folder."""
    architecture = ARCHITECTURES.get(platform.machine())
    if architecture is None:
        raise SetupError(f"Debian has no 32-bit build for {platform.machine()}")
    root = staging / "debian"
    with tempfile.TemporaryDirectory(dir=staging) as folder:
        Archive(Path(folder), architecture).unpack("micropython", root, dependencies=True)
    loader = next((file for file in root.glob("usr/lib/*-linux-*/ld-linux*.so.*")), None)
    if loader is None:
        raise SetupError("Debian's C library came without its loader")
    loader = loader.relative_to(root)
    launcher = staging / "micropython"
    launcher.write_text(LAUNCHER.format(loader=loader, libraries=loader.parent))
    launcher.chmod(0o755)


def link_program(staging: Path) -> None:
    """Links the `micropython` on PATH into the staging folder."""
    program = shutil.which("micropython")
    if program is None:
        raise SetupError("none on PATH")
    (staging / "micropython").symlink_to(Path(program).absolute())


def build_source(staging: Path) -> None:
    """Builds MicroPython's unix port from Debian's source package into the staging folder."""
    for program in ("make", "cc"):
        if not shutil.which(program):
            raise SetupError(f"no {program} here to build one")
    with tempfile.TemporaryDirectory(dir=staging) as folder:
        archive = Archive(Path(folder), "amd64", sources=True)
        tree = Path(folder) / "tree"
        tree.mkdir()
        source = archive.download_source("micropython")
        run_step("tar", "-xf", str(source), "--strip-components=1", "-C", str(tree))
        # Debian removes the libraries; the build checks only whether their folder exists.
        (tree / "lib/micropython-lib").mkdir(parents=True, exist_ok=True)
        (tree / "lib/micropython-lib/README.md").touch()
        frozen = tree / "frozen_modules.py"
        frozen.write_text('include("$(MPY_DIR)/extmod/asyncio")\n')
        jobs = f"-j{os.cpu_count() or 1}"
        run_step("make", jobs, "-C", str(tree / "mpy-cross"), doing="building mpy-cross")
        # Without the features for which Debian uses libraries of other packages.
        absent = ("MICROPY_PY_SSL", "MICROPY_SSL_MBEDTLS", "MICROPY_PY_BTREE", "MICROPY_PY_FFI")
        # On a 64-bit PC this needs a compiler for 32-bit programs (gcc-multilib).
        words = ["MICROPY_FORCE_32BIT=1"] if platform.machine() == "x86_64" else []
        run_step("make", jobs, "-C", str(tree / "ports/unix"), f"FROZEN_MANIFEST={frozen}", *words,
                 *(f"{feature}=0" for feature in absent),
                 doing="building MicroPython")  # fmt: skip
        shutil.copy(tree / "ports/unix/build-standard/micropython", staging)


def install(build: Callable[[Path], None]) -> Interpreter:
    """Installs the MicroPython that `build` makes, if it passes the probe."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        staging = Path(folder)
        build(staging)
        interpreter = probe(staging / "micropython")
        for part in ("debian", "micropython"):
            if (staging / part).exists():
                shutil.rmtree(FOLDER / part, ignore_errors=True)
                (staging / part).replace(FOLDER / part)
    return interpreter


def provision() -> Path:
    """Installs a MicroPython unless a working one is there; returns its path.

    Raises SetupError if none can be had.
    """
    if os.environ.get("MICROPYTHON"):
        program = find()
        report(f"{probe(program)} ($MICROPYTHON)")
        return program
    if LOCAL.exists():
        try:
            probe(LOCAL)
            return LOCAL
        except SetupError as reason:
            report(f"installing MicroPython anew: {reason}")
    reasons = []
    for build, name in (
        (install_debian, "Debian's 32-bit build"),
        (link_program, "on PATH"),
        (build_source, "built from Debian's source package"),
    ):
        report(f"MicroPython, {name}")
        try:
            report(f"{install(build)} ({name})")
            return LOCAL
        except SetupError as reason:
            reasons.append(str(reason))
    raise SetupError(
        f"no MicroPython could be installed ({'; '.join(reasons)}): install one of version"
        f" {OLDEST} or later, with viper, and set MICROPYTHON to its path"
    )


def report(line: str) -> None:
    """Prints a line of progress on stderr, because stdout is for the calling command."""
    print(f"setup: {line}", file=sys.stderr, flush=True)


def main() -> None:
    """Installs a MicroPython; exits with one line if that fails."""
    take_interrupts()
    try:
        provision()
    except (SetupError, OSError) as reason:
        sys.exit(f"setup: {reason}")


if __name__ == "__main__":
    main()
