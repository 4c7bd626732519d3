"""Debian's compiler for RISC-V, its C library and QEMU, unpacked into build/ without root.

They are of the machine's own Debian release, so that they run with its libraries; those that are
missing are unpacked beside them. Programs that are on PATH already are used as they are.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from host.errors import SetupError
from host.setup.debian import Archive

GCC = "riscv64-unknown-elf-gcc"
QEMU = "qemu-system-riscv32"
_PACKAGES = {
    GCC: ("gcc-riscv64-unknown-elf",),
    QEMU: ("qemu-system-riscv", "qemu-system-misc"),  # the latter until Debian 12
}
_LIBRARY = "picolibc-riscv64-unknown-elf"
_LIBRARY_FOLDER = Path("usr/lib/picolibc/riscv64-unknown-elf")
# Of the C library's 1 GB, what the chip's instruction set and ABI take.
ARCHITECTURE, ABI = "rv32imac", "ilp32"
_STATUS = Path("/var/lib/dpkg/status")
_DEBIAN_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Toolchain:
    """The programs under `folder`, installed on first use. Raises SetupError."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "debian"
        if not (folder / "installed").exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self._root, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=folder) as temporary:
                self._install(Path(temporary))
            (folder / "installed").touch()  # last, so that what was broken off is done again

    @property
    def specs(self) -> Path:
        """The specs file with which gcc finds the C library; written by `_install`."""
        return self._root / "picolibc.specs"

    def environment(self) -> dict[str, str]:
        """Variables with which the unpacked programs find each other and their libraries."""
        libraries = ":".join(
            str(folder) for folder in sorted(self._root.glob("usr/lib/*-linux-gnu"))
            + sorted(self._root.glob("lib/*-linux-gnu"))
        )  # fmt: skip
        path = f"{self._root / 'usr/bin'}:{os.environ.get('PATH', '')}"
        return {**os.environ, "PATH": path, "LD_LIBRARY_PATH": libraries}

    def qemu(self) -> list[str]:
        """Returns the emulator's command, with its data where it was unpacked."""
        data = self._root / "usr/share/qemu"
        return [QEMU, *(["-L", str(data)] if data.is_dir() else [])]

    def _install(self, temporary: Path) -> None:
        suite, machine = _release(), platform.machine()
        if machine not in _DEBIAN_ARCHITECTURES:
            raise SetupError(f"no compiler and emulator from Debian are known for {machine}")
        architecture = _DEBIAN_ARCHITECTURES[machine]
        archive = Archive(temporary, architecture, suite=suite, status=_STATUS)
        for program, packages in _PACKAGES.items():
            if not shutil.which(program):
                self._unpack(archive, packages)
        self._unpack_library(archive)

    def _unpack(self, archive: Archive, packages: tuple[str, ...]) -> None:
        """Unpacks the first of these packages that the release has."""
        for package in packages:
            try:
                archive.unpack(package, self._root, dependencies=True)
                return
            except SetupError as reason:
                last = reason
        raise last

    def _unpack_library(self, archive: Archive) -> None:
        package = archive.download(_LIBRARY)
        wanted = f"./{_LIBRARY_FOLDER}"
        parts = (f"{wanted}/include", f"{wanted}/lib/{ARCHITECTURE}/{ABI}")
        reading = subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE
        )
        with reading, tarfile.open(fileobj=reading.stdout, mode="r|") as files:
            # Before 3.11.4 Python has no such filter.
            files.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
            for file in files:
                if file.name.startswith(parts) or file.name == f"{wanted}/picolibc.specs":
                    files.extract(file, self._root)
        if reading.returncode:
            raise SetupError(f"{package.name} could not be unpacked")
        own = (self._root / _LIBRARY_FOLDER / "picolibc.specs").read_text()
        self.specs.write_text(own.replace("/usr/lib/picolibc", f"{self._root}/usr/lib/picolibc"))


def _release() -> str:
    """Returns the code name of this machine's Debian release."""
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    if system.get("ID") != "debian" or "VERSION_CODENAME" not in system:
        raise SetupError("this machine is not Debian, whose compiler and QEMU would be used")
    return system["VERSION_CODENAME"]
