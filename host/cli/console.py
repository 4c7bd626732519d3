"""What commands print with: rich, by way of a module of ours.

A command whose first import is ours works as a script too (host/host.py).
"""

import rich.console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

__all__ = ["Console", "Table", "escape", "track"]


class Console(rich.console.Console):
    """rich's, but for a reader of the output that has gone: host/cli/arguments.py has the exit
    code for that, where rich has one of its own."""

    def on_broken_pipe(self) -> None:
        """Passes the error on; rich calls this where it has caught it."""
        raise
