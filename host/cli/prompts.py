"""Where prompts come from: a terminal, or the lines of a pipe or file; and Ctrl-C among them."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, TextIO

from host import text_input
from host.errors import TextError

_MARK = "> "


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal; not where it was closed before we started."""
    return stream is not None and stream.isatty()


def example(prompt: str) -> str:
    """Returns how the prompt of an example is shown: as if it had been typed."""
    return f"{_MARK}{prompt}\n"


def piped_prompts() -> Iterator[tuple[int, str | TextError]]:
    """Yields the lines of standard input that are not empty, as they come, with their numbers; in
    the place of one that is no text, the error that says why.

    Raises TextError where nothing of it can be read.
    """
    if sys.stdin is None:
        return
    lines: Iterator[str | TextError] = (line.rstrip("\r\n") for line in sys.stdin)
    if isinstance(sys.stdin, io.TextIOWrapper) and isinstance(sys.stdin.buffer, io.BufferedIOBase):
        lines = text_input.iterate_lines(sys.stdin.buffer)
    try:
        for number, line in enumerate(lines, start=1):
            if isinstance(line, TextError) or line.strip():
                yield number, line
    except TextError as error:
        raise TextError(f"standard input: {error}") from None


def typed_prompts() -> Iterator[str]:
    """Yields lines typed at the terminal until Ctrl-D; Ctrl-C drops the one that is being typed.

    They can be edited, and earlier ones recalled.
    """
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  from now on input() edits and remembers lines
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # as Python has it for arguments
    while True:
        try:
            line = _typed_line()
        except KeyboardInterrupt:
            print(file=sys.stderr)
        except EOFError:
            print(file=sys.stderr)
            return
        else:
            if line.strip():
                yield line


def _typed_line() -> str:
    """Raises EOFError at Ctrl-D."""
    if is_terminal(sys.stdout):
        return input(_MARK)
    # Only what is generated is written to a file or a program.
    print(_MARK, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


class StopAtInterrupt:
    """A context in which the first Ctrl-C only sets `is_requested`, and a second interrupts.

    So a generation ends between two tokens, with all chips at the same one.
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
