"""The board's REPL port as the serial link: the part of machine.UART that UartLink uses, on stdin.

On a board a stream's read waits until it has all that it was asked for, so bytes are read one at a
time while there are any; the ring buffer behind them holds 260. Ctrl-C may be data here and is
switched off (kbd_intr), but between frames it still ends the program. It cannot be confused with
a frame there. A frame begins, in COBS, with the distance to its first zero, which in frames this
short (host/build/configuration.py) is at the latest the high byte of the payload's length. So no
frame of the host begins with carriage return (13) nor, since the host is not chip 0, with Ctrl-C
(3).
"""

import time

from protocol.compat import const

_CTRL_C = const(3)
_RETURN = const(13)  # mpremote sends it before Ctrl-C
# Milliseconds of silence after which the next byte is not the rest of a frame: the host writes a
# frame in one go, and 250 bytes take 22 ms at 115200 baud.
_SILENCE_MS = const(100)


class Console:
    """Reads and writes the port's bytes. Ctrl-C between frames raises KeyboardInterrupt."""

    def __init__(self, stdin, stdout, poller):
        """stdin, stdout: binary streams; poller: a select.poll with only stdin registered."""
        self._stdin = stdin
        self._poller = poller
        self._byte = bytearray(1)
        self._between = False
        self._heard = time.ticks_ms()
        self._stdout = stdout

    def any(self):
        """Returns whether there are bytes to read."""
        for _ in self._poller.ipoll(0):
            return True
        return False

    def readinto(self, buffer):
        """Reads waiting bytes, as many as the buffer has room for; returns their number."""
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
        """Writes a frame, data[:count], after a zero: that ends any other output before it."""
        self._stdout.write(b"\0")
        self._stdout.write(data, count)


_console = None


def repl_console():
    """Returns the Console of this board, after switching Ctrl-C off on the port."""
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
    """Returns the UartLink over the REPL port.

    mtu: bytes of the longest frame; relays: at a gateway, bytes of the longest that it relays.
    """
    from firmware.links.uart import UartLink

    link = UartLink(repl_console(), mtu, max(mtu, relays))
    link.mtu = mtu
    return link
