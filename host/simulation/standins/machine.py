# mypy: ignore-errors
"""Stand-in for MicroPython's `machine` on a simulated chip; UART is in `_uart.py`, the
rest in `_board.py`.

A reset ends the process with exit code 70 + the reset cause that the chip sees when it is
started again (FEDERATION_RESET_CAUSE in its environment): 72 `reset()`, 73 a watchdog that
was not fed, 75 `soft_reset()`. The program that launched the process starts it again.
"""

import os
import sys

from _idle import idle  # noqa: F401  (part of this module's API)
from _uart import UART  # noqa: F401
from micropython import const

_RESET_EXIT = const(70)
_HARD_RESET = const(2)
_SOFT_RESET = const(5)


def unique_id():
    """Returns the six bytes of FEDERATION_MAC: as on a board, the address of the radio."""
    return bytes.fromhex(os.getenv("FEDERATION_MAC") or "020000000000")


def reset():
    """Restarts the chip, as after power-on."""
    sys.exit(_RESET_EXIT + _HARD_RESET)


def soft_reset():
    """Restarts the interpreter."""
    sys.exit(_RESET_EXIT + _SOFT_RESET)


def __getattr__(name):
    """Imports the rest of the module when it is first used: on a board it takes no heap."""
    import _board

    return getattr(_board, name)
