"""Runs a command of `federation`: `federation run --chips 5` is `python -m host.run --chips 5`."""

from __future__ import annotations

import importlib
import signal
import sys

from host.cli.arguments import USAGE, print_error, print_out, print_version
from host.cli.commands import COMMANDS, overview, unknown


def main(arguments: list[str] | None = None) -> int:
    """Runs the command that the first argument names and returns its exit code.

    Only that command's module is imported, which takes a good part of a second.
    """
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        return print_out(lambda: print(overview()))
    if name == "--version":
        return print_out(print_version)
    if name not in COMMANDS:
        print_error(unknown(name))
        return USAGE
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        # Ctrl-C ends the import as it ends other programs, without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    code: int = importlib.import_module(COMMANDS[name].module).main(rest)
    return code


if __name__ == "__main__":
    sys.exit(main())
