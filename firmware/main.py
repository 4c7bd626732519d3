"""Starts a chip with what config.json says, and runs it."""

import gc
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
    """The Board or None, and the parts of a node."""
    from firmware import assembly

    with open("config.json") as file:
        config = json.load(file)
    board = assembly.board(config)
    parts = assembly.parts(config)
    sys.modules.pop("firmware.assembly")
    del sys.modules["firmware"].assembly
    return board, parts


def _node(chip_id, link, boot_id, weights, signer, fault):
    """The node, and why it has no share or ""."""
    share = None
    gc.collect()  # or what stays would be strewn over the last large piece
    try:
        if weights:
            from firmware import model_kernels
            from firmware.share import Share

            share = Share(weights, model_kernels, boot_id)
    except Exception as error:
        weights = None
        fault = told(error)
    gc.collect()
    if weights and weights.layout.get("members"):
        from firmware import residual
        from firmware.combining_node import CombiningNode

        return CombiningNode(chip_id, link, boot_id, weights, share, residual, signer), ""
    from firmware.node import Node

    return Node(chip_id, link, boot_id, weights, share, signer, fault), fault


def run():
    """Runs the chip. Should its loop fail, the host is told why and the chip starts anew.

    By a soft reset: after a hard one, a board with native USB is a new device to the host.
    """
    board, parts = _assembled()
    chip, fault = _node(*parts)
    parts = None
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
