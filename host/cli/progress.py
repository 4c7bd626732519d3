"""Shows the progress of long work at a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from host.cli.console import Console


class Steps:
    """Work of several kinds, one after the other, that is done step by step."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def begin(self, label: str) -> None:
        """Shows what is done from now on."""
        self._progress.update(self._task, description=label)

    def advance(self, _: object = None) -> None:
        """Takes in that one more step is done."""
        self._progress.advance(self._task)


@contextmanager
def show_progress(console: Console, label: str, total: int) -> Iterator[Steps]:
    """Shows a bar, and that work goes on between two steps, while the context lasts."""
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
