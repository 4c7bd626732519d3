"""Switches on Wi-Fi and ESP-NOW; this module is unloaded afterwards."""

import gc
import sys

from protocol.compat import const

# Bytes of ESP-IDF's memory that are reserved for frames to send: otherwise MicroPython's heap,
# which grows by doubling, would take all of it, and the driver refuse each frame
# (ESP_ERR_ESPNOW_NO_MEM).
_SENDING = const(4096)
# With fewer bytes than these the driver could send no frame.
_LEAST = const(1024)
_UART = const(1)  # its receive buffer, in ESP-IDF's memory, is the reserve


def start(settings):
    """Switches Wi-Fi and ESP-NOW on, or off and on, and returns the ESPNow, always the same
    object.

    The channel is fixed, and power save is off, since it loses frames. settings: channel; rxbuf;
    rate, if it is to be set; mtu, which is lowered to what this MicroPython can send.
    """
    import espnow
    import network

    # Older versions have this name too; on boards it says what they can send.
    settings["mtu"] = min(settings["mtu"], espnow.MAX_DATA_LEN)
    esp = espnow.ESPNow()
    esp.active(False)
    station = network.WLAN(network.STA_IF)
    station.active(False)  # it stays on over a soft reset, and so would a fault of the driver
    station.active(True)
    station.config(channel=settings["channel"], pm=network.WLAN.PM_NONE)
    esp.config(rxbuf=settings["rxbuf"])
    esp.active(True)
    if "rate" in settings:
        try:
            esp.config(rate=settings["rate"])
        except (OSError, ValueError) as error:  # on some chips and versions; it works, slower
            print("ESP-NOW stays at 1 Mbit/s: its rate was refused:", error)
    sys.modules.pop("network", None)  # not needed again: frees its heap if it is a file
    return esp


def begin(config):
    """Reserves memory for sending, so that the heap does not take it while the node is made.

    Returns a UART whose `deinit` frees it, None if there is no UART to spare or no ESP-IDF.
    """
    line = config["uart"]["id"] if config["gateway"] else None
    from firmware.heap import room

    if line == _UART or room() is None:  # without ESP-IDF there is nothing to hold
        return None
    import machine

    return machine.UART(_UART, rxbuf=_SENDING)


def verify():
    """Raises MemoryError if ESP-IDF has too little memory left to send a frame."""
    from firmware.heap import room

    gc.collect()  # it returns empty areas of the heap to ESP-IDF
    left = room()
    if left is not None and left < _LEAST:
        raise MemoryError(
            "Wi-Fi has %d bytes left to send with, and needs %d: plan with more chips or a"
            " shorter context, or --link uart" % (left, _LEAST)
        )
