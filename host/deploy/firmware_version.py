"""A text that tells the firmware of this checkout from any other: chips are flashed with it."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
RELEASE = "0.1.0"  # firmware/node.py's; a test holds the two together
_DIGITS = 8  # 32 bits: a change goes unnoticed once in four billion times

BOOT = "boot.py"
# Of protocol/, what no chip imports.
HOST_ONLY = (
    "control.py", "framing_bytes.py", "host_session.py", "matching.py", "message.py",
    "payloads.py", "structs.py",
)  # fmt: skip
_GENERATORS = "host/deploy/kernels*.py"  # of the kernels, which are a chip's code too


def chip_sources() -> list[Path]:
    """The files of firmware/ and protocol/ that a chip imports."""
    return [
        path
        for folder in ("protocol", "firmware")
        for path in sorted((REPOSITORY / folder).glob("*.py"))
        if path.name not in (*HOST_ONLY, BOOT)
    ]


@cache
def firmware_version() -> str:
    """The release, and a digest of all sources of a chip's code, as 0.1.0+0123abcd."""
    digest = hashlib.sha256()
    paths = [*chip_sources(), REPOSITORY / "firmware" / BOOT]
    for path in [*paths, *sorted(REPOSITORY.glob(_GENERATORS))]:
        content = path.read_bytes()
        name = path.relative_to(REPOSITORY).as_posix()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return f"{RELEASE}+{digest.hexdigest()[:_DIGITS]}"
