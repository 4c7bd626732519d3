"""The chip's Wi-Fi, as ESP-NOW needs it: loaded to switch it on, and given back to the heap."""

import gc
import sys

from protocol.compat import const

# Bytes of ESP-IDF's memory that a chip keeps for frames that it sends: MicroPython's heap, which
# grows by doubling, would take all, and the driver refuse each frame (ESP_ERR_ESPNOW_NO_MEM).
_SENDING = const(4096)
# Without so much of it at least, no frame would leave.
_LEAST = const(1024)
_UART = const(1)  # the one that lends its buffer, which is ESP-IDF's


def start(settings):
    """Switches Wi-Fi and ESP-NOW on, anew where they are on; the ESPNow, which is always the same.

    On a fixed channel, with power save off, which would otherwise lose frames. settings: channel,
    rxbuf, rate where it is to be set, and mtu, which becomes what this MicroPython offers where
    that is less.
    """
    import espnow
    import network

    # The name was there before version 2, and on boards means what they can send.
    settings["mtu"] = min(settings["mtu"], espnow.MAX_DATA_LEN)
    esp = espnow.ESPNow()
    esp.active(False)
    station = network.WLAN(network.STA_IF)
    station.active(False)  # which outlasts a soft reset, and a driver's fault with it
    station.active(True)
    station.config(channel=settings["channel"], pm=network.WLAN.PM_NONE)
    esp.config(rxbuf=settings["rxbuf"])
    esp.active(True)
    if "rate" in settings:
        try:
            esp.config(rate=settings["rate"])
        except (OSError, ValueError) as error:  # of some chips and versions; it works, slower
            print("ESP-NOW stays at 1 Mbit/s: its rate was refused:", error)
    sys.modules.pop("network", None)  # not needed again; where it is a file it leaves the heap
    return esp


def begin(config):
    """Takes the memory for sending, so that the heap does not, until the node stands: a UART whose
    `deinit` gives it back, None where there is none to spare."""
    line = config["uart"]["id"] if config["gateway"] else None
    from firmware.heap import room

    if line == _UART or room() is None:  # without ESP-IDF there is nothing to hold
        return None
    import machine

    return machine.UART(_UART, rxbuf=_SENDING)


def verify():
    """Raises MemoryError where ESP-IDF has too little left to send a frame."""
    from firmware.heap import room

    gc.collect()  # which gives back areas of the heap that are empty
    left = room()
    if left is not None and left < _LEAST:
        raise MemoryError(
            "Wi-Fi has %d bytes left to send with, and needs %d: plan with more chips or a"
            " shorter context, or --link uart" % (left, _LEAST)
        )
