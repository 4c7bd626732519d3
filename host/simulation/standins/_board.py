# mypy: ignore-errors
"""The parts of `machine` that a simulated chip seldom uses: Pin, WDT, freq, reset_cause."""

import os
import sys
import time

from micropython import const

PWRON_RESET = const(1)
HARD_RESET = const(2)
WDT_RESET = const(3)
DEEPSLEEP_RESET = const(4)
SOFT_RESET = const(5)

_WATCHDOG_EXIT = const(73)  # see machine.py
_FREQUENCIES_MHZ = (20, 40, 80, 160, 240)

_frequency = 160_000_000


def reset_cause():
    """Returns why this run started: PWRON_RESET, HARD_RESET, WDT_RESET or SOFT_RESET."""
    return int(os.getenv("FEDERATION_RESET_CAUSE") or PWRON_RESET)


def freq(hertz=None):
    """Returns the clock in hertz; with an argument, sets it (here it is only remembered)."""
    global _frequency
    if hertz is not None:
        if hertz not in [mhz * 1_000_000 for mhz in _FREQUENCIES_MHZ]:
            raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
        _frequency = hertz
        return None
    return _frequency


class Pin:
    """A pin that keeps its value, such as that of a light. Pins of one number are one."""

    IN = const(1)
    OUT = const(3)
    OPEN_DRAIN = const(7)
    PULL_UP = const(2)
    PULL_DOWN = const(1)

    _values = {}

    def __init__(self, id, mode=-1, pull=-1, *, value=None):
        self._id = id
        self.init(mode, pull, value=value)

    def init(self, mode=-1, pull=-1, *, value=None):
        """Configures the pin; only the value has an effect or, without one, a pull-up."""
        if value is not None:
            self.value(value)
        elif pull == Pin.PULL_UP:
            Pin._values.setdefault(self._id, 1)

    def value(self, value=None):
        """Returns the level, 0 or 1; with an argument, sets it."""
        if value is None:
            return Pin._values.get(self._id, 0)
        Pin._values[self._id] = 1 if value else 0
        return None

    __call__ = value

    def on(self):
        """Sets the level to 1."""
        self.value(1)

    def off(self):
        """Sets the level to 0."""
        self.value(0)

    def toggle(self):
        """Inverts the level."""
        self.value(not self.value())


class WDT:
    """A watchdog. It resets the chip only when it is fed too late: nothing else can interrupt a
    simulated program."""

    def __init__(self, id=0, timeout=5000):
        if id != 0:
            raise ValueError("WDT(%d) doesn't exist" % id)
        if timeout < 1:
            raise ValueError("WDT timeout too short")
        self._timeout_ms = timeout
        self._fed = time.ticks_ms()

    def feed(self):
        """Starts the time again; resets the chip if it was over already."""
        now = time.ticks_ms()
        if time.ticks_diff(now, self._fed) > self._timeout_ms:
            sys.exit(_WATCHDOG_EXIT)
        self._fed = now
