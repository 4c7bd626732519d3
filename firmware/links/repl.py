"""The board's REPL port as the serial link: what UartLink uses of machine.UART, over stdin.

A stream's read on a board waits until it has all that it was asked for, so bytes are taken one
at a time while there are any; the ring behind them holds 260. Ctrl-C would be data here and is
switched off (kbd_intr), yet it still ends the program where no frame can be: a frame begins, in
COBS, with the distance to its first zero. With frames this short (host/build/configuration.py)
that is the high byte of the payload's length at the latest, so nothing that the host sends
begins with carriage return (13), nor, as no host is chip 0, with Ctrl-C (3).
"""

import time

from protocol.compat import const

_CTRL_C = const(3)
_RETURN = const(13)  # mpremote sends it before Ctrl-C
# Silence after which what comes is not the rest of a frame, in milliseconds: a host writes a
# frame at once, and 250 bytes take 22 ms at 115200 baud.
_SILENCE_MS = const(100)


class Console:
    """Bytes from and to the host. Ctrl-C between frames raises KeyboardInterrupt."""

    def __init__(self, stdin, stdout, poller):
        """stdin, stdout: binary streams; poller: a select.poll that has stdin alone."""
        self._stdin = stdin
        self._poller = poller
        self._byte = bytearray(1)
        self._between = False
        self._heard = time.ticks_ms()
        self._stdout = stdout

    def any(self):
        """Whether there are bytes to read."""
        for _ in self._poller.ipoll(0):
            return True
        return False

    def readinto(self, buffer):
        """The number of bytes put into the buffer, all that are waiting as far as it has room."""
        byte, size, count = self._byte, len(buffer), 0
        now = time.ticks_ms()
        between = self._between or time.ticks_diff(now, self._heard) >= _SILENCE_MS
        while count < size and self.any() and self._stdin.readinto(byte):
            value = byte[0]
            if between and value == _CTRL_C:
                raise KeyboardInterrupt
            between = value == 0 or (between and value == _RETURN)
            buffer[count] = value
            count += 1
        if count:
            self._between = between
            self._heard = now
        return count

    def write(self, data, count):
        """Writes a frame, the first `count` bytes of data; the zero before it ends what else was
        printed, which is no frame."""
        self._stdout.write(b"\0")
        self._stdout.write(data, count)


_console = None


def repl_console():
    """The Console of this board, which has the port for itself from now on."""
    global _console
    if _console is None:
        import select
        import sys

        import micropython

        poller = select.poll()
        poller.register(sys.stdin, select.POLLIN)
        micropython.kbd_intr(-1)
        _console = Console(sys.stdin.buffer, sys.stdout.buffer, poller)
    return _console


def repl_link(mtu, relays):
    """The UartLink over it; mtu: the longest frame in bytes; relays: that of others, which a
    gateway passes on to the host and sends itself."""
    from firmware.links.uart import UartLink

    link = UartLink(repl_console(), mtu, max(mtu, relays))
    link.mtu = mtu
    return link
