"""Says in one line what is missing where a command cannot even be imported.

Standard library alone, and nothing that an older Python does not know.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import TracebackType

from host.paths import IS_CHECKOUT, PROJECT, SOURCES

OLDEST_PYTHON = (3, 11)
_OURS = ("bench", "firmware", "host", "protocol", "tests", "training")


def require_python(version: Sequence[object] = sys.version_info) -> None:
    """Ends the program where this Python is too old for its sources."""
    if tuple(version[:2]) < OLDEST_PYTHON:
        oldest, found = ".".join(map(str, OLDEST_PYTHON)), ".".join(map(str, version[:3]))
        advice = _advice(f"make setup PYTHON=python{oldest}")
        sys.exit(f"error: this is Python {found}; {oldest} or later is needed: {advice}")


def explain_missing_packages() -> None:
    """Has a package that is not installed end the program in one line, in place of a traceback."""
    before = sys.excepthook

    def show(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        name = (getattr(error, "name", None) or "").partition(".")[0]
        if issubclass(kind, ModuleNotFoundError) and name and name not in _OURS:
            print(f"error: {describe_missing(name)}", file=sys.stderr)
        else:
            before(kind, error, trace)

    sys.excepthook = show


def describe_missing(package: str) -> str:
    """Returns what to do where a package is not installed."""
    if package == "torch":
        return "PyTorch is not installed here: `make train` installs it"
    return "the package {} is not installed here: {}".format(package, _advice("make setup"))


def _advice(command: str) -> str:
    """Returns how to get what is missing, and to what runs with it."""
    if not IS_CHECKOUT:
        return f"run pip install --upgrade {PROJECT}"
    python = os.path.join(str(SOURCES), ".venv", "bin", "python")
    if os.path.realpath(os.getcwd()) == str(SOURCES):
        python = os.path.join(".venv", "bin", "python")
    else:
        command += f" in {SOURCES}"
    return "run {}, then {}".format(command, " ".join([python, *_arguments()]))


def _arguments() -> list[str]:
    """Returns what this Python was called with, as far as it is known."""
    called = getattr(sys, "orig_argv", [])
    if "-m" in called:
        return called[called.index("-m") : called.index("-m") + 2]
    script, ending = os.path.splitext(os.path.basename(sys.argv[0]))
    is_command = ending == ".py" and not script.startswith("_")
    return ["-m", f"host.{script if is_command else 'run'}"]
