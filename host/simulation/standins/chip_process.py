# mypy: ignore-errors
"""Ends a simulated chip with its host: imported first, it watches standard input for its end."""

import select
import sys

import _idle


class _Host:
    """The host's end of the pipe that is standard input; nothing is ever sent through it."""

    def __init__(self):
        self._poller = select.poll()
        self._poller.register(sys.stdin, select.POLLIN)

    def waiting(self):
        if self._poller.poll(0):
            sys.exit(0)
        return False


_idle.watch(sys.stdin, _Host())
