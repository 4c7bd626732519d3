"""Starts a chip: reads config.json, loads its shard, opens its links, runs its node.

Modules are imported when they are needed: the share must be loaded before the heap fills with
code (firmware/heap.py says why).
"""

import gc
import json
import os
import sys

import machine

from protocol.compat import const

# Header, READY or an ERROR with the longest text, and trailer: frames of any model's chips. The
# lines' buffers are at least that long, for encoding does not look where they end.
_CONTROL_FRAME = const(244)


def _uart(config, receives, sends):
    from firmware.uart import UartLink

    settings = dict(config["uart"])
    uart = machine.UART(settings.pop("id"), timeout=0, **settings)
    return UartLink(uart, max(receives, _CONTROL_FRAME), max(sends, _CONTROL_FRAME))


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
        esp.config(rate=settings["rate"])
    sys.modules.pop("network", None)  # not needed again; where it is a file it leaves the heap
    return RadioLink(esp, settings["mtu"])


def _link(config):
    if config["link"] == "uart":
        return _uart(config, config["receives"], config["sends"])
    if not config["gateway"]:
        return _radio(config)
    from firmware.radio import Gateway

    mtu = config["radio"]["mtu"]
    return Gateway(config["chip"], _uart(config, mtu, mtu), _radio(config))


def _signer(config):
    if not config.get("key"):
        return None
    from protocol.session import ChipAuthenticator

    key = bytes(int(config["key"][i : i + 2], 16) for i in range(0, len(config["key"]), 2))
    return ChipAuthenticator(key, config["chip"])


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
    """The node that a configuration describes; if its share cannot be loaded, one that says why.

    config: chip, link ("uart" or "espnow"), gateway, receives and sends (the longest frames in
    bytes, on UART), uart and radio (settings of machine.UART and of ESP-NOW), key (hexadecimal).
    """
    boot_id = int.from_bytes(os.urandom(2), "little")
    weights, share, fault = None, None, ""
    try:
        weights = _shard(config)
    except Exception as error:
        fault = _told(error)
    gc.collect()
    link, signer = _link(config), _signer(config)  # with buffers larger than gaps in code
    try:
        if weights:
            from firmware import model_kernels
            from firmware.share import Share

            share = Share(weights, model_kernels, boot_id)
    except Exception as error:
        weights = share = None
        fault = _told(error)
    gc.collect()  # or what stays of the node would be strewn over the last large piece
    from firmware.node import Node

    return Node(config["chip"], link, boot_id, weights, share, signer, fault)


def _told(error):
    """One line about an exception, which is also printed whole."""
    sys.print_exception(error)
    return "%s: %s" % (type(error).__name__, error)


def run():
    """Runs the chip until its loop fails; the host is told why."""
    with open("config.json") as file:
        chip = node(json.load(file))
    from firmware.heap import settle

    settle()
    try:
        while True:
            if not chip.poll():
                machine.idle()
    except Exception as error:
        chip.report(_told(error))
        raise
