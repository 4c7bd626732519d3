"""Shows the progress of long work at a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from host.cli.console import Console


class Steps:
    """A progress bar for work of several kinds, one after another, each in steps."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def begin(self, label: str) -> None:
        """Shows the label of the work that begins now."""
        self._progress.update(self._task, description=label)

    def advance(self, _: object = None) -> None:
        """Counts one more step as done."""
        self._progress.advance(self._task)


@contextmanager
def show_progress(console: Console, label: str, total: int) -> Iterator[Steps]:
    """Shows a bar while the context lasts, with a sign that work goes on between two steps."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed} of {task.total}"),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        yield Steps(progress, progress.add_task(label, total=total))
