"""Prompts from the lines of a pipe or file, and Ctrl-C while one is answered."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, TextIO

from host import text_input
from host.cli.keyboard import MARK
from host.errors import TextError


def is_terminal(stream: TextIO | None) -> bool:
    """Returns whether a stream is a terminal; False if it was closed before we started."""
    return stream is not None and stream.isatty()


def example(prompt: str) -> str:
    """Returns the line that shows the prompt of an example or file as if it had been typed.

    Characters that would control the terminal are left out. Raises TextError if it is not text.
    """
    return f"{MARK}{text_input.normalize(prompt)}\n"


def piped_prompts() -> Iterator[tuple[int, str | TextError]]:
    """Yields number and text of each line of standard input as it comes; for a line that is not
    text, the error that says why.

    Raises TextError if nothing of it can be read.
    """
    if sys.stdin is None:
        return
    lines: Iterator[str | TextError] = (line.rstrip("\r\n") for line in sys.stdin)
    if isinstance(sys.stdin, io.TextIOWrapper) and isinstance(sys.stdin.buffer, io.BufferedIOBase):
        lines = text_input.iterate_lines(sys.stdin.buffer)
    try:
        yield from enumerate(lines, start=1)
    except TextError as error:
        raise TextError(f"standard input: {error}") from None


class StopAtInterrupt:
    """A context in which the first Ctrl-C only sets `is_requested`, and the second interrupts.

    So a generation ends between two tokens, with all chips in the same state.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self._before: Any = None

    def __enter__(self) -> StopAtInterrupt:
        self._before = signal.signal(signal.SIGINT, self._interrupted)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self.is_requested:
            raise KeyboardInterrupt
        self.is_requested = True
