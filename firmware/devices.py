"""Opens what a chip's configuration names besides its role: board, radio, links, shard.

This module is unloaded before the chip's node is made.
"""

import gc
import sys

import machine
import micropython

from protocol.compat import const
from protocol.fragment import LEAST_MTU

_CTRL_C = const(3)
# A gateway writes so many short answers to the host together: each write costs as much as 25
# bytes. Of long frames it writes one at a time: one takes as much buffer as several short ones.
_RELAYED_AT_ONCE = const(4)


def open_link(config, unload, report_exception, fault=""):
    """Opens the chip's link and loads its weights.

    Returns the link; the weights or None; why there are none, or ""; and the UART that reserves
    memory for Wi-Fi, or None.

    fault: why the chip must not load weights, or ""; unload(package, name): frees a module;
    report_exception(error): returns one line of text about it. Raises whatever keeps the link from
    being opened.
    """
    esp = weights = held = None
    if config["link"] == "espnow":
        try:
            from firmware.links.wifi import begin, start

            # Before the shard: Wi-Fi takes its memory from the same RAM as a growing heap.
            esp = start(config["radio"])
            held = begin(config)
        except Exception as error:
            if not config["gateway"]:
                raise  # there is no other link to tell the host of it
            fault = report_exception(error)
        unload("firmware.links", "wifi")
    try:
        weights = None if fault else _weights(config, unload)
    except Exception as error:
        fault = report_exception(error)
    gc.collect()
    try:
        return _link(config, esp), weights, fault, held  # with buffers larger than gaps in code
    except Exception as error:
        if not weights:
            raise
        weights, fault = None, report_exception(error)
    gc.collect()
    return _link(config, esp), weights, fault, held


def _has_ctrl_c():
    """Returns whether Ctrl-C came to the REPL's port while it did not interrupt."""
    import select

    poller = select.poll()
    poller.register(sys.stdin, select.POLLIN)
    while poller.poll(0):
        key = sys.stdin.buffer.read(1)
        if not key or key[0] == _CTRL_C:
            return bool(key)
    return False


def open_board(config):
    """Returns the Board, after waiting for a user who wants the prompt; None if none is
    configured.

    Raises KeyboardInterrupt if the user wants the prompt.
    """
    serial = config["link"] != "espnow" or config["gateway"]
    on_repl = serial and config["uart"]["id"] == "repl"
    if not on_repl:
        micropython.kbd_intr(_CTRL_C)  # main.py has switched it off
    if "board" not in config:
        return None
    if not on_repl and _has_ctrl_c():
        raise KeyboardInterrupt
    from firmware.board import Board

    board = Board(config["board"])
    board.wait_for_prompt(on_repl)
    return board


def _line(config, receives, sends, queued=1):
    """Returns the link over the serial line.

    Its buffers have room at least for the chip's own reports, because encoding checks no bounds.
    """
    from firmware.links.uart import UartLink
    from firmware.outbox import CONTROL_PAYLOAD
    from protocol.frame import HEADER_SIZE, TRAILER_SIZE

    settings = dict(config["uart"])
    number = settings.pop("id")
    if number == "repl":
        from firmware.links.repl import repl_link

        return repl_link(settings["mtu"], sends if config["link"] == "espnow" else 0)
    control = HEADER_SIZE + CONTROL_PAYLOAD + TRAILER_SIZE[3]
    uart = machine.UART(number, timeout=0, **settings)
    return UartLink(uart, max(receives, control), max(sends, control), queued)


def _link(config, esp):
    """Returns the link to the host.

    esp: the ESPNow; None at a gateway whose radio has failed, which then reports it over its line.
    """
    if config["link"] != "espnow":
        line = _line(config, config["receives"], config["sends"])
        if config["link"] == "uart":
            return line
        # Not `import`: it would cost chips on other links heap for the module's names.
        module = __import__("firmware.links." + config["link"], None, None, ("*",))
        return module.open_link(config, line)
    mtu = config["radio"]["mtu"]
    queued = 1 if mtu > LEAST_MTU else _RELAYED_AT_ONCE
    line = _line(config, mtu, mtu, queued) if config["gateway"] else None
    if not esp:
        return line
    from firmware.links.espnow import RadioLink

    radio = RadioLink(esp, mtu, config["radio"])
    if not line:
        return radio
    from firmware.links.gateway import Gateway

    return Gateway(config["chip"], line, radio)


def make_signer(config):
    """Returns the ChipAuthenticator of the cluster's key; None if the cluster has none."""
    if not config.get("key"):
        return None
    from protocol.session import ChipAuthenticator

    key = bytes(int(config["key"][i : i + 2], 16) for i in range(0, len(config["key"]), 2))
    return ChipAuthenticator(key, config["chip"], config["chips"])


def _weights(config, unload):
    """Returns the weights, from a flash partition if config has "weights", else from a file.

    The modules that load them are unloaded afterwards.
    """
    if "weights" in config:
        from firmware.compute.partition import load_weights
    else:
        from firmware.compute.shard import load_weights

    try:
        return load_weights(config.get("weights", "shard.bin"), config["chip"])
    finally:
        for name in ("shard", "rope", "shard_sizes", "tensor_parallel", "partition"):
            unload("firmware.compute", name)
        unload("protocol", "shard_layout")
