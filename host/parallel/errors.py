"""What goes wrong when something is to be divided."""

from host.model.checkpoint import ModelError


class ParallelError(ModelError, ValueError):
    """A division that cannot be made or undone; the message is one line and names the numbers."""
