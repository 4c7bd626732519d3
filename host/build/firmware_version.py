"""The version of the firmware of this checkout, with which chips are flashed."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from host.paths import SOURCES

RELEASE = "0.1.0"  # as in firmware/node.py; a test compares the two
_DIGITS = 8  # 32 bits: a change goes unnoticed once in four billion times

BOOT = "boot.py"
# Files of protocol/ that no chip imports.
HOST_ONLY = (
    "bitpack_plain.py", "bitunpack_plain.py", "cobs_plain.py", "frame_v1.py", "gather_scatter.py",
    "message.py",
)  # fmt: skip
# Files that generate kernels and change sources, on which a chip's code also depends.
GENERATORS = (
    "attention_kernel.py", "branches.py", "coarser_kernel.py", "compiler_names.py",
    "constants.py", "error_texts.py", "group_kernels.py", "int8_kernels.py", "kernels.py",
    "norm_kernel.py", "packages.py", "pass_kernels.py", "row_kernels.py", "source_edits.py",
    "unrolling.py", "wide_attention_kernel.py", "machine_code",
)  # fmt: skip


def chip_sources() -> list[Path]:
    """Returns the files of firmware/ and protocol/ that a chip imports."""
    return [
        path
        for folder in ("protocol", "firmware")
        for path in sorted((SOURCES / folder).rglob("*.py"))
        if path.name not in (*HOST_ONLY, BOOT)
    ]


def _files(path: Path) -> list[Path]:
    """Returns a file, or the files of a folder."""
    return sorted(path.glob("*.py")) if path.is_dir() else [path]


@cache
def firmware_version() -> str:
    """Returns the release, and a digest of all sources of a chip's code, as 0.1.0+0123abcd."""
    digest = hashlib.sha256()
    generators = [
        path for name in GENERATORS for path in _files(SOURCES / "host" / "build" / name)
    ]
    for path in [*chip_sources(), SOURCES / "firmware" / BOOT, *generators]:
        content = path.read_bytes()
        name = path.relative_to(SOURCES).as_posix()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return f"{RELEASE}+{digest.hexdigest()[:_DIGITS]}"
