"""Shows the progress of long work at a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn


@contextmanager
def show_progress(console: Console, label: str, total: int) -> Iterator[Callable[[object], None]]:
    """Shows a bar while the context lasts; gives what to call, with anything, at each step."""
    columns = (
        TextColumn(label),
        BarColumn(),
        TextColumn("{task.completed} of {task.total}"),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("", total=total)
        yield lambda _: progress.advance(task)
