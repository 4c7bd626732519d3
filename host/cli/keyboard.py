"""Reads prompts typed at a terminal: with editing, and a history that is kept from run to run.

Keys typed while an answer is printed are not shown within it; they are there when the next prompt
is read, an end of input (Ctrl-D) too.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

from host.paths import state_file

MARK = "> "
_REMEMBERED = 1000  # lines


@contextlib.contextmanager
def hold_keys() -> Iterator[None]:
    """Keeps keys typed at the terminal of standard input, without showing them, for later reading.

    Ctrl-C and Ctrl-Z keep their meaning. Does nothing in the background, because there a program
    that changes its terminal is stopped.
    """
    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        in_front = os.tcgetpgrp(descriptor) == os.getpgrp()
    except (AttributeError, OSError, ValueError, termios.error):
        yield
        return
    if not in_front:
        yield
        return
    held = list(before)
    # Not in line mode, which would remove Ctrl-D from the input.
    held[3] &= ~(termios.ECHO | termios.ICANON)
    held[6] = [*before[6]]
    held[6][termios.VMIN], held[6][termios.VTIME] = 1, 0
    termios.tcsetattr(descriptor, termios.TCSANOW, held)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


@contextlib.contextmanager
def show_keys(is_edited: bool) -> Iterator[None]:
    """Undoes hold_keys while a line is read.

    is_edited: whether readline reads it, which on most terminals takes and shows single keys
    itself.
    """
    descriptor = sys.stdin.fileno()
    held = termios.tcgetattr(descriptor)
    shown = list(held)
    shown[3] |= termios.ECHO | (0 if is_edited else termios.ICANON)
    termios.tcsetattr(descriptor, termios.TCSANOW, shown)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, held)


def typed_prompts() -> Iterator[str]:
    """Yields lines typed at the terminal until Ctrl-D; Ctrl-C drops the line being typed.

    Lines can be edited, and earlier ones recalled, from earlier runs too.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # as Python does for arguments
    with _history(_history_file()):
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


def _history_file() -> Path | None:
    """Returns the history's file, which the environment may name; None if it names an empty
    one."""
    named = os.environ.get("FEDERATION_HISTORY")
    if named is None:
        return state_file("history")
    return Path(named) if named else None


@contextlib.contextmanager
def _history(file: Path | None) -> Iterator[None]:
    """Makes input() edit and remember lines, if possible from run to run too."""
    try:
        import readline
    except ImportError:
        yield
        return
    if file is None:
        yield
        return
    with contextlib.suppress(OSError):
        readline.read_history_file(file)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            # Only the user may read what was typed.
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))
            readline.set_history_length(_REMEMBERED)
            readline.write_history_file(file)


def _typed_line() -> str:
    """Returns the next typed line. Raises EOFError at Ctrl-D."""
    if sys.stdout is not None and sys.stdout.isatty():
        with show_keys(is_edited="readline" in sys.modules):
            return input(MARK)
    # To a file or a program only generated text is written.
    print(MARK, end="", file=sys.stderr, flush=True)
    with show_keys(is_edited=False):
        line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")
