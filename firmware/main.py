"""Starts a chip with what config.json says, and runs it."""

import json
import sys
import time

import machine

from protocol.compat import const

# Before a chip whose loop has failed starts anew: what it told leaves the line first, and one
# that fails at once does not do so in quick succession.
_PAUSE_MS = const(500)


def told(error):
    """One line about an exception, which is also printed whole."""
    sys.print_exception(error)
    return "%s: %s" % (type(error).__name__, error)


def _assembled():
    """The Board or None, the node, and why its share could not be loaded or ""."""
    from firmware import assembly

    with open("config.json") as file:
        config = json.load(file)
    board = assembly.board(config)
    node, fault = assembly.node(config)
    sys.modules.pop("firmware.assembly")
    del sys.modules["firmware"].assembly
    return board, node, fault


def run():
    """Runs the chip. Should its loop fail, the host is told why and the chip starts anew.

    By a soft reset: after a hard one, a board with native USB is a new device to the host.
    """
    board, chip, fault = _assembled()
    from firmware.heap import settle

    settle()
    try:
        if board:
            board.loop(chip.poll, fault)
        while True:
            if not chip.poll():
                machine.idle()
    except Exception as error:
        try:
            chip.report(told(error))
        finally:  # what failed may be the link
            time.sleep_ms(_PAUSE_MS)
            machine.soft_reset()
