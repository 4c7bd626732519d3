"""Installs the MicroPython that simulated chips run: `federation setup`.

`federation run` does the same when it needs to.
"""

from __future__ import annotations

from host.cli.arguments import Parser, exit_code
from host.errors import SetupError
from host.setup import micropython


def _run() -> int:
    program = micropython.provision()
    print(f"{micropython.probe(program)} in {program}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    Parser(
        prog="python -m host setup",
        description="Installs the MicroPython that simulated chips run, unless a good one is"
        " there: Debian's 32-bit build, the one on PATH, or one built from source. MICROPYTHON"
        " names another to use.",
    ).parse_args(arguments)
    return exit_code(_run, (SetupError,))
