# mypy: ignore-errors
"""What of `select` the firmware uses when it starts: whether somebody is at the REPL's port.

Nobody is: the emulated board has one serial port, and the host is there.
"""

from micropython import const

POLLIN = const(1)


class poll:
    """Does nothing."""

    def register(self, stream, events):
        """Does nothing."""

    def poll(self, timeout=-1):
        """Nothing."""
        return ()
