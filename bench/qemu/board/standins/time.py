# mypy: ignore-errors
"""What of `time` the firmware uses, by the emulated board's timer.

Its clock may be slow: a busy machine gives several emulated boards a small part of its time, and
timeouts grow with it. By a fast clock, boards that add up partial sums among themselves would do
little but repairs, and each repair would slow all of them down. A board sleeps by the timer, and
its clock goes on by as much.
"""

import hardware
from micropython import const

_HALF = const(0x20000000)
# The timer's milliseconds for each of the clock's, as bench/qemu/boards.py is given.
_SLOWER = const(1)

_slept = [0]  # milliseconds that the clock would have missed


def ticks_ms():
    """Milliseconds since the board was switched on."""
    return hardware.ticks_ms() // _SLOWER + _slept[0]


def ticks_diff(later, earlier):
    """Returns the milliseconds between two times."""
    return (later - earlier + _HALF & 2 * _HALF - 1) - _HALF


def sleep_ms(ms):
    """Waits for milliseconds of the timer, also while bytes come."""
    start, left = hardware.ticks_ms(), ms
    while left > 0:
        hardware.wait(left)
        left = ms - ticks_diff(hardware.ticks_ms(), start)
    _slept[0] += ms - ms // _SLOWER
