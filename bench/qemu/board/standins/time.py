# mypy: ignore-errors
"""What of `time` the firmware uses, by the emulated board's timer."""

import hardware
from hardware import ticks_ms
from micropython import const

_HALF = const(0x20000000)


def ticks_diff(later, earlier):
    """The milliseconds between two times."""
    return (later - earlier + _HALF & 2 * _HALF - 1) - _HALF


def sleep_ms(ms):
    """Wait, through bytes that come."""
    start = ticks_ms()
    while ticks_diff(ticks_ms(), start) < ms:
        hardware.wait(1)
