"""Opens serial ports by their URL, also ports of other machines (RFC 2217)."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import urlsplit

import serial

_READ_TIMEOUT = 0.1  # seconds for which a thread may run on after its port was closed
_READ_SIZE = 4096
_REMOTE = ("socket", "rfc2217")  # schemes of URLs with a host and a port
_DRAIN_TIMEOUT = 1.0  # seconds for a port that is being closed to send what it has accepted


class Port(Protocol):
    """The part of a pyserial port that the project uses; name: of its device, or its URL."""

    name: str
    baudrate: int

    @property
    def in_waiting(self) -> int: ...
    def fileno(self) -> int: ...
    def read(self, size: int) -> bytes: ...
    def write(self, data: bytes) -> int: ...
    def close(self) -> None: ...


class RemotePort:
    """Gives a port without a file descriptor, as rfc2217://, the descriptor of a socket.

    Two threads copy bytes between port and socket. Reading and writing do not block; after the
    port is lost they raise SerialException, as the port would.
    """

    def __init__(self, port: Any) -> None:
        """port: open, with a timeout; this object closes it."""
        self.name: str = port.name
        self._port = port
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._closed = False
        self._reason = "it was closed"
        threading.Thread(target=self._copy_in, daemon=True).start()
        self._sender = threading.Thread(target=self._copy_out, daemon=True)
        self._sender.start()

    def fileno(self) -> int:
        """Returns the socket's descriptor."""
        return self._near.fileno()

    @property
    def baudrate(self) -> int:
        """Bits per second."""
        return int(self._port.baudrate)

    @baudrate.setter
    def baudrate(self, baud: int) -> None:
        self._port.baudrate = baud

    @property
    def in_waiting(self) -> int:
        """The number of bytes that can be read at once, at most a few thousand."""
        return len(self._receive(_READ_SIZE, socket.MSG_PEEK))

    def read(self, size: int) -> bytes:
        """Returns received bytes, at most `size`."""
        return self._receive(size) if size else b""

    def write(self, data: bytes) -> int:
        """Sends as many bytes as the socket takes; returns how many."""
        try:
            return self._near.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            raise self._lost() from None

    def close(self) -> None:
        """Sends what was written, and closes the port, which ends both threads."""
        self._closed = True
        with suppress(OSError):
            self._near.shutdown(socket.SHUT_WR)
        self._sender.join(_DRAIN_TIMEOUT)
        self._near.close()
        with suppress(OSError):
            self._port.close()

    def _receive(self, size: int, flags: int = 0) -> bytes:
        try:
            data = self._near.recv(size, flags)
        except BlockingIOError:
            return b""
        if not data:
            raise self._lost()
        return data

    def _lost(self) -> serial.SerialException:
        return serial.SerialException(f"{self.name} is lost: {self._reason}")

    def _copy_in(self) -> None:
        try:
            while not self._closed:
                if data := self._port.read(max(1, self._port.in_waiting)):
                    self._far.sendall(data)
        except (OSError, TypeError) as error:  # TypeError: pyserial, its thread over
            self._lose(error)

    def _copy_out(self) -> None:
        try:
            while data := self._far.recv(_READ_SIZE):
                self._port.write(data)
        except OSError as error:
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        self._reason = str(error)
        with suppress(OSError):
            self._far.shutdown(socket.SHUT_RDWR)


def _check_address(url: str, scheme: str) -> None:
    """Raises ValueError, with a readable message, for a URL without host and port."""
    parts = urlsplit(url)
    if not parts.hostname or not parts.port:  # parts.port raises ValueError above 65535
        raise ValueError(f"name a host and a port, as {scheme}://there:4000")


def open_url(url: str, baud: int, **options: bool) -> Port:
    """Opens the port at `url`, a device or a URL of pyserial's; reading and writing do not block.

    options: of serial.serial_for_url, for devices. Raises what that raises, ValueError for a URL
    without host or port, and io.UnsupportedOperation for a port without a file descriptor, such as
    loop://.
    """
    scheme = url.lower().partition("://")[0] if "://" in url else ""
    if scheme in _REMOTE:
        _check_address(url, scheme)
    if scheme == "rfc2217":
        # It supports no timeout of writing and, as no other program can open it, no `exclusive`.
        return RemotePort(serial.serial_for_url(url, baud, timeout=_READ_TIMEOUT))
    port: Port = serial.serial_for_url(url, baud, timeout=0, write_timeout=0, **options)
    port.fileno()
    return port
