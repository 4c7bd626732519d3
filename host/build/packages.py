"""Flattens the packages of firmware/: on a chip each package and each longer name costs heap.

`firmware/compute/attention.py` is `firmware/attention.mpy` on a chip, and its module, in
tracebacks too, `firmware.attention`. So each file of firmware/ has a name of its own, whatever its
folder. Lines keep their numbers.
"""

from __future__ import annotations

import re

_FOLDERS = ("compute", "links", "roles")
_PACKAGES = re.compile(r"\bfirmware\.(?:" + "|".join(_FOLDERS) + r")\b")


def flatten_imports(source: str) -> str:
    """Returns the source with the names that modules have on a chip, in strings too."""
    return _PACKAGES.sub("firmware", source)


def chip_path(path: str) -> str | None:
    """Returns where a chip has the module of a source file; None for a package that it does not
    have."""
    folder, _, name = path.rpartition("/")
    top, _, inner = folder.partition("/")
    if inner in _FOLDERS and name == "__init__.py":
        return None
    if inner in _FOLDERS:
        folder = top
    return f"{folder}/{name}".removesuffix(".py") + ".mpy"
