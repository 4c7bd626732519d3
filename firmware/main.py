"""Starts a chip: reads config.json, opens its links, loads its shard, runs its node."""

import json
import os
import sys

import machine

from firmware.node import Node

BROADCAST_RXBUF_FRAMES = 24  # an answer of each of 20 chips at once, and some


def _uart(config):
    from firmware.uart import UartLink

    settings = dict(config["uart"])
    return UartLink(machine.UART(settings.pop("id"), timeout=0, **settings))


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
    return RadioLink(esp, settings["mtu"])


def _link(config):
    if config["link"] == "uart":
        return _uart(config)
    if not config["gateway"]:
        return _radio(config)
    from firmware.radio import Gateway

    return Gateway(config["chip"], _uart(config), _radio(config))


def _signer(config):
    if not config.get("key"):
        return None
    from protocol.session import ChipAuthenticator

    key = bytes(int(config["key"][i : i + 2], 16) for i in range(0, len(config["key"]), 2))
    return ChipAuthenticator(key, config["chip"])


def node(config):
    """The node that a configuration describes; if its share cannot be loaded, one that says why."""
    boot_id = int.from_bytes(os.urandom(2), "little")
    signer, link = _signer(config), _link(config)
    try:
        from firmware import model_kernels
        from firmware.shard import Shard
        from firmware.share import Share

        shard = Shard("shard.bin", config["chip"])
        return Node(
            config["chip"], link, boot_id, shard, Share(shard, model_kernels, boot_id), signer
        )
    except Exception as error:
        sys.print_exception(error)
        fault = "%s: %s" % (type(error).__name__, error)
        return Node(config["chip"], link, boot_id, signer=signer, fault=fault)


def run():
    """Runs the chip until its loop fails; the host is told why."""
    with open("config.json") as file:
        chip = node(json.load(file))
    try:
        while True:
            if not chip.poll():
                machine.idle()
    except Exception as error:
        chip.report("%s: %s" % (type(error).__name__, error))
        raise
