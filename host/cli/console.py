"""The Console that commands print with: rich's, imported through this module.

A command whose first import is one of ours works as a script too (host/host.py).
"""

import rich.console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

__all__ = ["Console", "Table", "escape", "track"]


class Console(rich.console.Console):
    """rich's Console, except that an output whose reader is gone raises an error: the exit code
    for that is host/cli/arguments.py's, not rich's."""

    def on_broken_pipe(self) -> None:
        """Raises the error again; rich calls this where it has caught it."""
        raise
