"""Starts a chip: reads config.json, opens its links, loads its shard, runs its node."""

import gc
import json
import os
import sys

from firmware import heap

heap.reserve()  # before the imports that bring code

import machine  # noqa: E402

from firmware.node import CONTROL_PAYLOAD, Node, frame_size  # noqa: E402


def _uart(config, receives, sends):
    from firmware.uart import UartLink

    settings = dict(config["uart"])
    return UartLink(machine.UART(settings.pop("id"), timeout=0, **settings), receives, sends)


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


def _link(config, receives, sends):
    """The link; receives, sends: the longest frames in bytes that this chip takes and makes."""
    if config["link"] == "uart":
        return _uart(config, receives, sends)
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
    """The shard, after which its loader is given back to the heap."""
    from firmware.shard import loaded

    shard = loaded("shard.bin", config["chip"])
    for name in ("shard", "tensor_parallel"):
        del sys.modules["firmware." + name]
        delattr(sys.modules["firmware"], name)
    gc.collect()
    return shard


def node(config):
    """The node that a configuration describes; if its share cannot be loaded, one that says why."""
    chip_id = config["chip"]
    boot_id = int.from_bytes(os.urandom(2), "little")
    shard = share = None
    receives = sends = frame_size(CONTROL_PAYLOAD)
    fault = ""
    try:
        from firmware import model_kernels

        shard = _shard(config)
        from firmware.share import Share

        share = Share(shard, model_kernels, boot_id)
        receives, sends = frame_size(shard.request_size), frame_size(shard.answer_size)
    except Exception as error:
        sys.print_exception(error)
        shard = share = None
        fault = "%s: %s" % (type(error).__name__, error)
    link = _link(config, receives, sends)
    return Node(chip_id, link, boot_id, shard, share, _signer(config), fault)


def run():
    """Runs the chip until its loop fails; the host is told why."""
    with open("config.json") as file:
        chip = node(json.load(file))
    heap.release()
    try:
        while True:
            if not chip.poll():
                machine.idle()
    except Exception as error:
        chip.report("%s: %s" % (type(error).__name__, error))
        raise
