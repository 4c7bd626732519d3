# mypy: ignore-errors
"""`machine.UART` on a simulated chip: bytes over an inherited file descriptor.

FEDERATION_UART is the number of a non-blocking descriptor: the master side of a pseudo-terminal
whose other side the host opens as a serial port, or a stream socket. In a ring what is sent goes
to FEDERATION_UART_NEXT instead, and one of the two is the end of a pipe, or both. It is the chip's
one UART, whatever its number; a second number does not exist.

The wire is infinitely fast: all that was sent has arrived when the program next looks at the line,
which it does when it has read everything from before. Bytes beyond `rxbuf` are then dropped, as on
a board that computes while bytes come in. If the other end is closed or not read, what is written
is lost, as on a wire.
"""

import io
import os
import select

import _idle
from micropython import RingIO, const

_CHUNK = const(256)
_MIN_RXBUF = const(256)  # ESP-IDF's minimum
_READER_GONE_MS = const(1000)
_MP_STREAM_FLUSH = const(1)
_MP_STREAM_POLL = const(3)
_POLLIN = const(1)
_POLLOUT = const(4)
_EINVAL = const(22)
_MAX_ID = const(2)


class UART(io.IOBase):
    """The serial port of this chip."""

    _open = None  # the object that has the line, as opening it again would close it

    def __init__(self, id, baudrate=115200, **settings):
        line = os.getenv("FEDERATION_UART")
        if not 0 <= id <= _MAX_ID or not line:
            raise ValueError("UART(%d) does not exist" % id)
        if UART._open is not None and UART._open._id != id:
            raise ValueError("UART(%d) does not exist" % id)
        self._id = id
        self._rxbuf = _MIN_RXBUF
        self._timeout = 0
        self._timeout_char = 0
        self._ring = None
        self._chunk = bytearray(_CHUNK)
        self.dropped = 0  # bytes that the ring had no room for (not on a board)
        if UART._open is None:
            self._line = self._file = open(int(line), "r+b")
            line = os.getenv("FEDERATION_UART_NEXT")  # not a constant: its name would cost heap
            if line:
                self._line = open(int(line), "r+b")
        else:
            UART._open.deinit()
            self._file, self._line = UART._open._file, UART._open._line
        UART._open = self
        self.init(baudrate, **settings)

    def init(
        self,
        baudrate=115200,
        bits=8,
        parity=None,
        stop=1,
        *,
        tx=-1,
        rx=-1,
        rts=-1,
        cts=-1,
        txbuf=-1,
        rxbuf=-1,
        timeout=0,
        timeout_char=0,
        invert=0,
        flow=0,
    ):
        """Configures the UART; a baud rate, pins and framing have no effect here."""
        if bits not in (5, 6, 7, 8):
            raise ValueError("invalid data bits")
        if stop not in (1, 2):
            raise ValueError("invalid stop bits")
        if rxbuf >= 0:
            self._rxbuf = max(rxbuf, _MIN_RXBUF)
        if self._ring is None:
            _idle.watch(self._file, self)
        if self._ring is None or rxbuf >= 0:
            self._ring = RingIO(self._rxbuf)
        self._timeout = timeout
        self._timeout_char = timeout_char

    def deinit(self):
        """Turns the UART off; init() turns it on again."""
        if self._ring is not None:
            _idle.unwatch(self._file, self)
            self._ring = None

    def any(self):
        """Returns the number of bytes waiting; while there are any, more are not looked for."""
        self._require_on()
        if not self._ring.any():
            self._take_in()
        return self._ring.any()

    def read(self, nbytes=-1):
        """Returns at most nbytes, without it all that is waiting; None if nothing came within
        `timeout`."""
        waiting = self._await(nbytes if nbytes >= 0 else self._rxbuf)
        if not waiting:
            return None
        return self._ring.read(waiting if nbytes < 0 else min(nbytes, waiting))

    def readinto(self, buf, nbytes=-1):
        """Returns the number of bytes put into the buffer; None when nothing came in `timeout`."""
        if nbytes < 0 or nbytes > len(buf):
            nbytes = len(buf)
        waiting = self._await(nbytes)
        if not waiting:
            return None
        return self._ring.readinto(buf, min(nbytes, waiting))

    def readline(self):
        """Returns a line, or what there is of it after `timeout`; None when nothing came."""
        line = b""
        while not line.endswith(b"\n"):
            byte = self.read(1)
            if byte is None:
                break
            line += byte
        return line or None

    def write(self, buf, nbytes=-1):
        """Returns the number of bytes, all or `nbytes`: it waits until the line has taken them."""
        self._require_on()
        total = len(buf) if nbytes < 0 else min(nbytes, len(buf))
        try:
            done = self._line.write(buf, total) or 0
            while done < total:
                if not self._await_room():
                    break
                done += self._line.write(memoryview(buf)[done:total]) or 0
        except OSError:
            pass  # nobody has the other end open
        return total

    def flush(self):
        """Does nothing: write() returned when the line had taken everything."""
        self._require_on()

    def txdone(self):
        """Returns True."""
        return True

    def ioctl(self, request, flags):
        """Supports select.poll()."""
        if request == _MP_STREAM_FLUSH:
            return 0
        if request != _MP_STREAM_POLL:
            return -_EINVAL
        return flags & (_POLLOUT | _POLLIN if self.waiting() else _POLLOUT)

    def waiting(self):
        """Returns whether there are bytes to read; False when it is off."""
        if self._ring is None:
            return False
        self._take_in()
        return self._ring.any() > 0

    def held(self):
        """Returns whether there were bytes left to read at the last look at the line."""
        return self._ring is not None and self._ring.any() > 0

    def _require_on(self):
        if self._ring is None:
            raise OSError(_EINVAL)

    def _take_in(self):
        """Moves what has arrived into the ring; bytes for which it has no room are lost."""
        self._require_on()
        chunk = self._chunk
        try:
            count = self._file.readinto(chunk)
            while count:
                self.dropped += count - self._ring.write(chunk, 0, count)
                count = self._file.readinto(chunk) if count == _CHUNK else 0
        except OSError:
            pass  # nobody has the other end open

    def _await(self, count):
        """Returns the number of bytes waiting, after `timeout` at most for the first of
        `count`."""
        waiting = self.any()
        timeout = self._timeout
        while waiting < count and timeout:
            poller = select.poll()
            poller.register(self._file, select.POLLIN)
            poller.poll(timeout if waiting == 0 else max(1, self._timeout_char))
            self._take_in()
            if self._ring.any() == waiting:
                break
            waiting = self._ring.any()
        return waiting

    def _await_room(self):
        poller = select.poll()
        poller.register(self._line, select.POLLOUT)
        ready = poller.poll(_READER_GONE_MS)
        return bool(ready) and not ready[0][1] & select.POLLHUP
