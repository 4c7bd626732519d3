"""Starts a chip with what config.json says, and runs it."""

import gc
import json
import sys
import time

import machine
import micropython

from protocol.compat import const

# Before a chip whose loop has failed starts anew: what it told leaves the line first, and one
# that fails at once does not do so in quick succession.
_PAUSE_MS = const(500)
# The same for one that has no node: as long as a board offers its prompt.
_PROMPT_MS = const(2000)
_CTRL_C = const(3)


def told(error):
    """One line about an exception, which is also printed whole."""
    sys.print_exception(error)
    return "%s: %s" % (type(error).__name__, error)


def _assembled():
    """The Board or None, the parts of a node, and which firmware this is."""
    from firmware import assembly

    with open("config.json") as file:
        config = json.load(file)
    board = assembly.board(config)
    parts = assembly.parts(config)
    sys.modules.pop("firmware.assembly")
    del sys.modules["firmware"].assembly
    return board, parts, config.get("firmware", "")


def _working_node(chip_id, link, boot_id, weights, signer):
    from firmware import model_kernels
    from firmware.share import Share

    share = Share(weights, model_kernels, boot_id)
    gc.collect()
    if weights.layout.get("members"):
        from firmware import residual

        if "next" in weights.layout:
            from firmware.stage_node import StageNode as Kind
        else:
            from firmware.combining_node import CombiningNode as Kind
        return Kind(chip_id, link, boot_id, weights, share, residual, signer)
    from firmware.node import Node

    return Node(chip_id, link, boot_id, weights, share, signer)


def _node(chip_id, link, boot_id, weights, signer, fault):
    """The node, and why it has no share or "": such a node says that to the host."""
    gc.collect()  # or what stays would be strewn over the last large piece
    try:
        if weights:
            return _working_node(chip_id, link, boot_id, weights, signer), ""
    except Exception as error:
        fault = told(error)
    gc.collect()
    from firmware.node import Node

    return Node(chip_id, link, boot_id, None, None, signer, fault), fault


def _start_anew(chip, text):
    """Tells the host why, where there is a node to do so; the console has it already.

    By a soft reset: after a hard one, a board with native USB is a new device to the host.
    """
    try:
        if chip:
            chip.report(text)
        else:
            micropython.kbd_intr(_CTRL_C)
    except Exception as error:  # what failed may be the link
        told(error)
    time.sleep_ms(_PAUSE_MS if chip else _PROMPT_MS)
    machine.soft_reset()


def run():
    """Runs the chip. Should that fail, the host is told why and the chip starts anew."""
    chip = None
    try:
        board, parts, firmware = _assembled()
        chip, fault = _node(*parts)
        chip.firmware = firmware
        parts = None
        from firmware.heap import settle

        settle()
        if board:
            board.loop(chip.poll, fault)
        while True:
            if not chip.poll():
                machine.idle()
    except Exception as error:
        _start_anew(chip, told(error))
