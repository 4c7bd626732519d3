"""Flattens the packages of firmware/: on a chip each package and each longer name costs heap.

`firmware/compute/attention.py` becomes `firmware/attention.mpy` on a chip, and its module
`firmware.attention`, also in tracebacks. So file names are unique in firmware/, across folders.
Lines keep their numbers.
"""

from __future__ import annotations

import re

_FOLDERS = ("compute", "links", "roles")
_PACKAGES = re.compile(r"\bfirmware\.(?:" + "|".join(_FOLDERS) + r")\b")


def flatten_imports(source: str) -> str:
    """Returns the source with the names that modules have on a chip, also in strings."""
    return _PACKAGES.sub("firmware", source)


def chip_path(path: str) -> str | None:
    """Returns the path of a source file's module on a chip; None for a package, which a chip does
    not have."""
    folder, _, name = path.rpartition("/")
    top, _, inner = folder.partition("/")
    if inner in _FOLDERS and name == "__init__.py":
        return None
    if inner in _FOLDERS:
        folder = top
    return f"{folder}/{name}".removesuffix(".py") + ".mpy"
