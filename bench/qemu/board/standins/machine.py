# mypy: ignore-errors
"""What of the ESP32 port's `machine` the firmware uses, on QEMU's board "virt".

UART drives the emulated 16550; idle() sleeps until bytes come. A clock, a light, a button and a
watchdog the board has not: what is set is taken, the button is not pressed, nothing bites.
"""

import hardware
import micropython
import umachine
from micropython import const
from umachine import soft_reset  # noqa: F401  (part of this module's API)

PWRON_RESET = const(1)
HARD_RESET = const(2)
WDT_RESET = const(3)
DEEPSLEEP_RESET = const(4)
SOFT_RESET = const(5)

_PORT = const(0x10000000)  # the 16550's registers
# That idle() waits, for the firmware's own deadlines; and the timer's milliseconds for each of the
# clock's, as in time.py: what is due later by the clock may be looked for later.
_LONGEST_MS = const(10)
_SLOWER = const(1)

reset = umachine.reset  # QEMU ends
mem32 = umachine.mem32


def reset_cause():
    """Returns SOFT_RESET, except at the first start after power-on."""
    return PWRON_RESET if hardware.starts() == 1 else SOFT_RESET


def idle():
    """Returns when bytes come, at the latest after 10 ms of the board's clock."""
    hardware.wait(_LONGEST_MS * _SLOWER)


def freq(hertz=None):
    """Does nothing: the speed of QEMU is unknown."""


@micropython.viper
def _start(port: ptr8):
    # QEMU puts as many bytes into the FIFO at once as are to wake the board, and that takes both
    # of its threads each time: so as many as can be; fewer wake it four bytes after the last.
    port[3] = 0x83  # line control: 8 bits, the divisor is in the place of data
    port[0] = 1
    port[1] = 0
    port[3] = 0x03
    port[2] = 0xC7  # FIFO control: on, both empty, 14 bytes wake the board


@micropython.viper
def _receive(port: ptr8, buffer: ptr8, size: int) -> int:
    count = 0
    while count < size:
        if not port[5] & 1:  # line status: data ready
            break
        buffer[count] = port[0]
        count += 1
    return count


@micropython.viper
def _send(port: ptr8, buffer: ptr8, size: int):
    at = 0
    while at < size:
        while not port[5] & 0x20:  # line status: room for more
            pass
        port[0] = buffer[at]
        at += 1


class UART:
    """The serial port, the board's only one, whatever its number. What the chip has not taken in,
    QEMU holds back: nothing is lost, and `rxbuf` says nothing."""

    def __init__(self, id, baudrate=115200, **settings):
        _start(_PORT)

    def init(self, baudrate=115200, **settings):
        """Does nothing: the line carries any speed."""

    def flush(self):
        """Does nothing: what was written is sent."""

    def readinto(self, buffer):
        """Returns the number of bytes put into the buffer; None when nothing has come."""
        return _receive(_PORT, buffer, len(buffer)) or None

    def write(self, buffer, count=-1):
        """Sends the buffer or its first `count` bytes; returns their number."""
        count = len(buffer) if count < 0 else min(count, len(buffer))
        _send(_PORT, buffer, count)
        return count


class Pin:
    """A pin with nothing on it but a pull-up."""

    IN = const(1)
    OUT = const(3)
    PULL_UP = const(2)

    def __init__(self, id, mode=-1, pull=-1):
        pass

    def value(self, value=None):
        """Returns 1; with an argument, does nothing."""
        return 1


class WDT:
    """A watchdog that sleeps."""

    def __init__(self, id=0, timeout=5000):
        pass

    def feed(self):
        """Does nothing."""
