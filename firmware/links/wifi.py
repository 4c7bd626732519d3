"""The chip's Wi-Fi, as ESP-NOW needs it: loaded to switch it on, and given back to the heap."""

import sys


def start(settings):
    """Switches Wi-Fi and ESP-NOW on, anew where they are on; the ESPNow, which is always the same.

    On a fixed channel, with power save off, which would otherwise lose frames. settings: channel,
    rxbuf, and rate where it is to be set.
    """
    import espnow
    import network

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
