"""Makes a chip's board and node as its configuration says.

Modules are imported when they are needed: the shard must be loaded before the heap fills with
code (firmware/heap.py says why).
"""

import gc
import json
import os
import sys


def start(report_exception):
    """The Board, None where config.json names none, and the Node.

    config.json: chip, chips (their number), role (a module of firmware/roles), firmware (version
    that was flashed), kernels ("auto" where there are native ones, or which), native (their
    digest), link ("uart", "ring" or "espnow"), gateway, receives, sends (bytes of the longest
    frames), uart, radio (settings of machine.UART, or the id "repl", and of ESP-NOW), key (hex),
    board, baudrate (of a serial line whose speed the host may change).

    report_exception: makes a line of text of an exception. Raises KeyboardInterrupt for the
    prompt, and what keeps a node from being made.
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
    gc.collect()  # or what stays would be strewn over the last large piece
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
            fault = report_exception(error)
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


def finish(config, link, node):
    """Gives the links what they need of the node."""
    if hasattr(link, "radio"):
        link.radio.report = node.report
    if "baudrate" in config:
        from firmware.links.line_speed import install

        install(node, getattr(link, "_uart", link), config["baudrate"])
        unload("firmware.links", "line_speed")


def unload(package, name):
    """Gives a module back to the heap, if it was loaded."""
    if sys.modules.pop(package + "." + name, None):
        delattr(sys.modules[package], name)


def _node(role, chip, weights):
    """The node with the role of this name."""
    from firmware.compute import model_kernels

    gc.collect()  # what importing leaves behind would make room where none stays
    make_role = __import__("firmware.roles." + role, None, None, ("*",)).make_role
    from firmware.node import Node
    from firmware.outbox import Outbox

    gc.collect()
    outbox = Outbox(*chip, weights.request_size, weights.answer_size)
    role = make_role(outbox, weights, model_kernels)
    if weights.on_idle:
        role.on_idle = weights.on_idle(role.on_idle)
    return Node(outbox, role, weights.request_size)
