"""Finds the serial ports of this machine at which there may be boards.

The serial number of a board's native USB (S2, S3, C3, C6, ...) is its MAC. A USB-UART bridge does
not identify the board behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from serial.tools.list_ports import comports

# USB vendors whose devices may be boards: Espressif, and the makers of bridges on boards (Silicon
# Labs, WCH, FTDI, Prolific). Nothing is written to other devices, such as modems and printers.
_ESPRESSIF = 0x303A
_BRIDGES = (0x10C4, 0x1A86, 0x0403, 0x067B)
# Makers of boards with ids of their own, with and without an ESP32: Arduino, Adafruit, SparkFun,
# Seeed, DFRobot. An ESP32 there has its MAC as the serial number, or is named in the product.
_MAKERS = (0x2341, 0x239A, 0x1B4F, 0x2886, 0x3343)
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")

ListPorts = Callable[[], Iterable[Any]]  # as pyserial's comports


@dataclass(frozen=True)
class Candidate:
    """A port that may be a chip's; mac: of the board, None if USB does not give it."""

    url: str
    mac: str | None = None


def find_candidates(list_ports: ListPorts = comports) -> list[Candidate]:
    """Returns the serial ports of this machine at which there may be boards."""
    return [
        Candidate(port.device, _usb_mac(port))
        for port in list_ports()
        if port.vid in (_ESPRESSIF, *_BRIDGES) or _is_maker_s(port)
    ]  # fmt: skip


def locate(mac: str, recorded: str, present: Sequence[Candidate]) -> str | None:
    """Returns the port of the board with this MAC if USB gives it, else the `recorded` port, or
    None if another board is there."""
    for candidate in present:
        if candidate.mac == mac:
            return candidate.url
    is_taken = any(one.url == recorded and one.mac is not None for one in present)
    return None if is_taken else recorded


def format_mac(text: str) -> str:
    """Returns a MAC in lower case with colons, 34:85:18:00:00:01. Raises ValueError for what is
    none."""
    digits = re.sub("[:-]", "", text.lower())
    mac = ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
    if not _MAC.fullmatch(mac):
        raise ValueError(f"{text!r} is not a MAC")
    return mac


def _is_maker_s(port: Any) -> bool:
    """Returns whether it is a board with an ESP32 of a maker that has others too."""
    names_chip = "esp32" in (getattr(port, "product", None) or "").lower()
    return port.vid in _MAKERS and (names_chip or _usb_mac(port) is not None)


def _usb_mac(port: Any) -> str | None:
    if port.vid not in (_ESPRESSIF, *_MAKERS) or not port.serial_number:
        return None
    try:
        return format_mac(port.serial_number)
    except ValueError:
        return None
