"""Shows text on standard output as it comes, and log messages without breaking into it."""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO

from host.cli.prompts import is_terminal


class Display(logging.Handler):
    """Shows text on standard output, and log records on standard error.

    If both are the same terminal, pipe or file, a record waits for the end of a line of the text.
    """

    def __init__(self, silent: bool = False) -> None:
        """silent: whether to show no text."""
        super().__init__()
        self._silent = silent
        self._is_shared = _share_file(sys.stdout, sys.stderr)
        self._in_line = False
        self._waiting: list[str] = []

    def show(self, text: str) -> None:
        """Prints `text` at once."""
        if self._silent or not text:
            return
        print(text, end="", flush=True)
        self._in_line = not text.endswith("\n")
        if not self._in_line:
            self._write_waiting()

    def end_line(self) -> None:
        """Ends the current line, if one was begun, so that the next output begins a new one."""
        if self._in_line:
            self.show("\n")

    def emit(self, record: logging.LogRecord) -> None:
        """Takes a record of the log."""
        self._waiting.append(self.format(record))
        if not (self._in_line and self._is_shared):
            self._write_waiting()

    def _write_waiting(self) -> None:
        for line in self._waiting:
            print(line, file=sys.stderr, flush=True)
        self._waiting.clear()


def _share_file(one: TextIO | None, other: TextIO | None) -> bool:
    """Returns whether both streams write to the same terminal, pipe or file."""
    if one is None or other is None:
        return False
    try:
        return os.path.samestat(os.fstat(one.fileno()), os.fstat(other.fileno()))
    except (OSError, ValueError):  # they have no descriptor
        return is_terminal(one) and is_terminal(other)
