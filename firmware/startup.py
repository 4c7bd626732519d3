"""Makes a chip's board and node as its configuration says.

Modules are imported only when they are needed, because the shard must be loaded before code fills
the heap (see firmware/heap.py).
"""

import gc
import json
import os
import sys


def start(report_exception):
    """Returns the Board, or None if config.json names none, and the Node.

    config.json: chip (id), chips (their number), role (a module of firmware/roles), firmware (the
    version flashed), kernels ("auto", "native" or "viper"), native (digest of the native kernels),
    link ("uart", "ring" or "espnow"), gateway (whether this chip is it), receives, sends (bytes of
    the longest frames), uart (settings of machine.UART, or the id "repl"), radio, key, board,
    baudrate (of a line whose speed the host may change), weights (of a flash partition).

    report_exception(error): returns one line of text about it. Raises KeyboardInterrupt if the
    user wants the prompt, and whatever keeps a node from being made.
    """
    with open("config.json") as file:
        config = json.load(file)
    from firmware import devices

    board = devices.open_board(config)
    kernels, fault = "viper (none else for this processor)", ""
    if "kernels" in config:
        from firmware import kernel_choice

        kernels, fault = kernel_choice.choose(config, report_exception)
        unload("firmware", "kernel_choice")
        del kernel_choice
    link, weights, fault, held = devices.open_link(config, unload, report_exception, fault)
    boot_id = int.from_bytes(os.urandom(2), "little")
    chip = config["chip"], link, boot_id, devices.make_signer(config)
    unload("firmware", "devices")
    del devices
    gc.collect()  # otherwise permanent objects would be scattered over the last large gap
    node = None
    if weights:
        try:
            node = _node(config["role"], chip, weights)
            if config["link"] == "espnow":
                from firmware.links.wifi import verify

                if held:
                    held.deinit()
                verify()
                unload("firmware.links", "wifi")
        except Exception as error:
            node = weights = None
            fault = report(error, report_exception)
            gc.collect()
    if not node:
        from firmware.node import Node
        from firmware.outbox import Outbox
        from firmware.roles.faulty import Faulty

        outbox = Outbox(*chip)
        node = Node(outbox, Faulty(outbox, fault))
    if "kernels" in config:
        from firmware import kernel_choice

        kernels = kernel_choice.finish(config, kernels, node, weights)
        unload("firmware", "kernel_choice")
    node.firmware = "%s\0%s" % (config.get("firmware", ""), kernels)
    finish(config, link, node)
    return board, node


def report(error, report_exception):
    """Returns one line about why there is no node. (A new name here would cost some gateways 4 KB
    of their table of strings.)"""
    fault = report_exception(error)
    if isinstance(error, KeyError):  # there is no kernel for one of the shard's matrices
        fault += ": the firmware is not of this shard, flash this chip again"
    return fault


def finish(config, link, node):
    """Connects the link to the node: error reports of the radio, and changes of line speed."""
    if "map" in config.get("weights", ()):
        node.firmware = "%s\0%s" % (node.firmware, config["weights"]["map"])
    if hasattr(link, "radio"):
        link.radio.report = node.report
    if "baudrate" in config:
        from firmware.links.line_speed import install

        install(node, getattr(link, "_uart", link), config["baudrate"])
        unload("firmware.links", "line_speed")


def unload(package, name):
    """Unloads a module, if it was loaded, to free its heap."""
    if sys.modules.pop(package + "." + name, None):
        delattr(sys.modules[package], name)


def _node(role, chip, weights):
    """Returns the Node with the role of this name; chip: the first arguments of Outbox."""
    from firmware.compute import model_kernels

    gc.collect()  # garbage of the imports would leave gaps between permanent objects
    make_role = __import__("firmware.roles." + role, None, None, ("*",)).make_role
    from firmware.node import Node
    from firmware.outbox import Outbox

    gc.collect()
    outbox = Outbox(*chip, weights.request_size, weights.answer_size)
    role = make_role(outbox, weights, model_kernels)
    if weights.on_idle:
        role.on_idle = weights.on_idle(role.on_idle)
    return Node(outbox, role, weights.request_size)
