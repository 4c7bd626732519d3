"""What commands print with: rich, by way of a module of ours.

A command whose first import is ours works as a script too (host/host.py).
"""

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

__all__ = ["Console", "Table", "escape", "track"]
