# mypy: ignore-errors
"""Stand-in for MicroPython's `machine` on a simulated chip; UART is in `_uart.py`, Pin and WDT are
in `_pins.py`.

A reset ends the process with exit code 70 + the reset cause that the chip sees when it is
started again (FEDERATION_RESET_CAUSE in its environment): 72 `reset()`, 73 a watchdog that
was not fed, 75 `soft_reset()`. Whoever launched the process starts it again.
"""

import os
import sys

from _idle import idle  # noqa: F401  (part of this module's API)
from _uart import UART  # noqa: F401
from micropython import const

PWRON_RESET = const(1)
HARD_RESET = const(2)
WDT_RESET = const(3)
DEEPSLEEP_RESET = const(4)
SOFT_RESET = const(5)

_RESET_EXIT = const(70)
_FREQUENCIES_MHZ = (20, 40, 80, 160, 240)

_frequency = 160_000_000


def unique_id():
    """The six bytes of FEDERATION_MAC: on a board too, the address of the radio."""
    return bytes.fromhex(os.getenv("FEDERATION_MAC") or "020000000000")


def reset():
    """Start again from nothing."""
    sys.exit(_RESET_EXIT + HARD_RESET)


def soft_reset():
    """Start the interpreter again."""
    sys.exit(_RESET_EXIT + SOFT_RESET)


def reset_cause():
    """Why this run started: PWRON_RESET, HARD_RESET, WDT_RESET or SOFT_RESET."""
    return int(os.getenv("FEDERATION_RESET_CAUSE") or PWRON_RESET)


def freq(hertz=None):
    """The clock in hertz; with an argument, sets it (here it is only remembered)."""
    global _frequency
    if hertz is not None:
        if hertz not in [mhz * 1_000_000 for mhz in _FREQUENCIES_MHZ]:
            raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
        _frequency = hertz
        return None
    return _frequency


def __getattr__(name):
    """Pin and WDT when they are first asked for: on a board they take no heap, here they do."""
    if name in ("Pin", "WDT"):
        import _pins

        return getattr(_pins, name)
    raise AttributeError(name)
