"""Starts a chip as config.json says, and runs it."""

import sys
import time

import machine
import micropython

from protocol.compat import const

# Milliseconds until a chip whose loop has failed restarts: time for its last report to leave the
# line; and a chip that fails right away does not restart in quick succession.
_RESTART_PAUSE_MS = const(500)
# The same if no node could be made: as long as a board offers its prompt.
_PROMPT_PAUSE_MS = const(2000)
_CTRL_C = const(3)


def report_exception(error):
    """Prints an exception with its traceback; returns one line about it, for the host."""
    sys.print_exception(error)
    return "%s: %s" % (type(error).__name__, error)


def _restart(node, text):
    """Reports the text to the host, if there is a node, and restarts the chip.

    It is a soft reset: after a hard one, a board with native USB is a new device to the host.
    """
    try:
        if node:
            node.report(text)
        else:
            micropython.kbd_intr(_CTRL_C)
    except Exception as error:  # the link itself may be what failed
        report_exception(error)
    time.sleep_ms(_RESTART_PAUSE_MS if node else _PROMPT_PAUSE_MS)
    machine.soft_reset()


def run():
    """Runs the chip; if that fails, reports it and restarts."""
    node = None
    try:
        from firmware import startup

        board, node = startup.start(report_exception)
        from firmware.heap import finish

        startup.unload("firmware", "heap")
        startup.unload("firmware", "startup")
        del startup
        finish()
        del finish
        if board:
            board.loop(node.poll, node.fault)
        poll, idle = node.poll, machine.idle
        while True:
            if not poll():
                idle()
    except Exception as error:
        _restart(node, report_exception(error))
