"""Makes a chip's board and node from its configuration, once, and then leaves the heap.

Modules are imported when they are needed: the share must be loaded before the heap fills with
code (firmware/heap.py says why).
"""

import gc
import os
import sys

import machine
import micropython

from firmware.main import told
from protocol.compat import const

_CTRL_C = const(3)

# Answers that a gateway writes to the host together: each write costs as much as 25 bytes.
_RELAYED_AT_ONCE = const(4)


def _line(config, receives, sends, queued=1):
    """The serial line; its buffers hold at least what tells of the chip itself, for encoding
    does not look where they end."""
    from firmware.node import CONTROL_PAYLOAD
    from firmware.uart import UartLink
    from protocol.frame import HEADER_SIZE, TRAILER_SIZE

    settings = dict(config["uart"])
    number = settings.pop("id")
    if number == "repl":
        from firmware.console import repl_link

        return repl_link(settings["mtu"])
    control = HEADER_SIZE + CONTROL_PAYLOAD + TRAILER_SIZE[3]
    uart = machine.UART(number, timeout=0, **settings)
    return UartLink(uart, max(receives, control), max(sends, control), queued)


def _radio(config):
    """ESP-NOW on a fixed channel with power save off, which would otherwise lose frames."""
    import espnow
    import network

    from firmware.radio import RadioLink

    settings = config["radio"]
    station = network.WLAN(network.STA_IF)
    station.active(True)
    station.config(channel=settings["channel"], pm=network.WLAN.PM_NONE)
    esp = espnow.ESPNow()
    esp.config(rxbuf=settings["rxbuf"])
    esp.active(True)
    if "rate" in settings:
        try:
            esp.config(rate=settings["rate"])
        except (OSError, ValueError) as error:  # of some chips and versions; it works, slower
            print("ESP-NOW stays at 1 Mbit/s: its rate was refused:", error)
    sys.modules.pop("network", None)  # not needed again; where it is a file it leaves the heap
    return RadioLink(esp, settings["mtu"])


def _link(config):
    if config["link"] == "uart":
        return _line(config, config["receives"], config["sends"])
    if not config["gateway"]:
        return _radio(config)
    from firmware.radio import Gateway

    mtu = config["radio"]["mtu"]
    return Gateway(config["chip"], _line(config, mtu, mtu, _RELAYED_AT_ONCE), _radio(config))


def _signer(config):
    if not config.get("key"):
        return None
    from protocol.session import ChipAuthenticator

    key = bytes(int(config["key"][i : i + 2], 16) for i in range(0, len(config["key"]), 2))
    return ChipAuthenticator(key, config["chip"], config["chips"])


def _shard(config):
    """The weights, after which their loader is given back to the heap."""
    from firmware.shard import loaded

    try:
        return loaded("shard.bin", config["chip"])
    finally:
        for name in ("shard", "tensor_parallel"):
            sys.modules.pop("firmware." + name, None)
            delattr(sys.modules["firmware"], name)


def node(config):
    """The node that a configuration describes, and why its share could not be loaded or "": such
    a node says that to the host.

    config: chip, chips (how many there are), link ("uart" or "espnow"), gateway, receives, sends
    (the longest frames in bytes, on UART), uart and radio (settings of machine.UART and of
    ESP-NOW), key (hexadecimal).
    Where the UART's id is "repl" it is the board's REPL port, and its mtu the longest frame.
    """
    boot_id = int.from_bytes(os.urandom(2), "little")
    weights, share, fault = None, None, ""
    try:
        weights = _shard(config)
    except Exception as error:
        fault = told(error)
    gc.collect()
    link, signer = _link(config), _signer(config)  # with buffers larger than gaps in code
    try:
        if weights:
            from firmware import model_kernels
            from firmware.share import Share

            share = Share(weights, model_kernels, boot_id)
    except Exception as error:
        weights = share = None
        fault = told(error)
    gc.collect()  # or what stays of the node would be strewn over the last large piece
    if weights and weights.layout.get("members"):
        from firmware import residual

        if "next" in weights.layout:
            from firmware.stage_node import StageNode as Kind
        else:
            from firmware.combining_node import CombiningNode as Kind
        return Kind(config["chip"], link, boot_id, weights, share, residual, signer), ""
    from firmware.node import Node

    return Node(config["chip"], link, boot_id, weights, share, signer, fault), fault


def _ctrl_c_waits():
    """Whether Ctrl-C came to the REPL's port while it was no interrupt."""
    import select

    poller = select.poll()
    poller.register(sys.stdin, select.POLLIN)
    while poller.poll(0):
        key = sys.stdin.buffer.read(1)
        if not key or key[0] == _CTRL_C:
            return bool(key)
    return False


def board(config):
    """The Board, after whoever wants the prompt had the time to say so; None where there is none.

    Raises KeyboardInterrupt for the prompt.
    """
    serial = config["link"] == "uart" or config["gateway"]
    on_repl = serial and config["uart"]["id"] == "repl"
    if not on_repl:
        micropython.kbd_intr(_CTRL_C)  # main.py has switched it off
    if "board" not in config:
        return None
    if not on_repl and _ctrl_c_waits():
        raise KeyboardInterrupt
    from firmware.board import Board

    made = Board(config["board"])
    made.wait_for_prompt(on_repl)
    return made
