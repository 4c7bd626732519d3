"""What a chip's configuration names beside its role: the board, the radio, the links, the shard.

It leaves the heap before the chip's node is made.
"""

import gc
import sys

import machine
import micropython

from protocol.compat import const
from protocol.fragment import LEAST_MTU

_CTRL_C = const(3)
# Answers that a gateway writes to the host together: each write costs as much as 25 bytes. Of long
# frames, one has the room of several that are short.
_RELAYED_AT_ONCE = const(4)


def open_link(config, unload, report_exception, fault=""):
    """The link, the weights or None, why there are none or "", and what holds memory for Wi-Fi.

    fault: why there shall be none; unload(package, name): gives a module back to the heap;
    report_exception: makes a line of text of an exception. Raises what keeps the link from being
    made.
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
                raise  # no other link could tell the host
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
    """Whether Ctrl-C came to the REPL's port while it was no interrupt."""
    import select

    poller = select.poll()
    poller.register(sys.stdin, select.POLLIN)
    while poller.poll(0):
        key = sys.stdin.buffer.read(1)
        if not key or key[0] == _CTRL_C:
            return bool(key)
    return False


def open_board(config):
    """The Board, once whoever wants the prompt had the time to say so; None where there is none.

    Raises KeyboardInterrupt for the prompt.
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
    """The serial line; its buffers hold at least the chip's own reports, for encoding does not
    look where they end."""
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
    """The link to the host; esp: the ESPNow, None at a gateway whose radio has failed: its line
    is left to say so."""
    if config["link"] != "espnow":
        line = _line(config, config["receives"], config["sends"])
        if config["link"] == "uart":
            return line
        # So chips on other links do without its names.
        module = __import__("firmware.links." + config["link"], None, None, ("*",))
        return module.open_link(config["chip"], line)
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
    """Signs and verifies frames with the cluster's key; None where the cluster has none."""
    if not config.get("key"):
        return None
    from protocol.session import ChipAuthenticator

    key = bytes(int(config["key"][i : i + 2], 16) for i in range(0, len(config["key"]), 2))
    return ChipAuthenticator(key, config["chip"], config["chips"])


def _weights(config, unload):
    """The weights, after which their loader is given back to the heap. config: where it says
    something of weights, these are in a partition of the flash."""
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
