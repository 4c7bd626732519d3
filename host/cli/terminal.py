"""Text on standard output as it comes, and messages of the program that do not break into it."""

from __future__ import annotations

import logging
import sys

from host.cli.prompts import is_terminal


class Display(logging.Handler):
    """Shows text; as a handler of log records, writes them to standard error.

    Where both are one terminal, a record waits until the text is at the end of a line.
    """

    def __init__(self, silent: bool = False) -> None:
        """silent: whether to show no text."""
        super().__init__()
        self._silent = silent
        self._one_terminal = is_terminal(sys.stdout) and is_terminal(sys.stderr)
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

    def emit(self, record: logging.LogRecord) -> None:
        """Takes a record of the log."""
        self._waiting.append(self.format(record))
        if not (self._in_line and self._one_terminal):
            self._write_waiting()

    def _write_waiting(self) -> None:
        for line in self._waiting:
            print(line, file=sys.stderr, flush=True)
        self._waiting.clear()
