"""Serial ports by their URL, among them those of boards at another machine (RFC 2217)."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any

import serial

_READ_TIMEOUT = 0.1  # seconds: so long a thread may outlast its port
_READ_SIZE = 4096


class RemotePort:
    """A port that has no descriptor, as rfc2217://, behind a socket that has one.

    Two threads carry bytes between both. Reading and writing do not wait; once the port is lost
    they raise SerialException, as it would.
    """

    def __init__(self, port: Any) -> None:
        """port: an open one with a timeout; it belongs to this object, which closes it."""
        self.name: str = port.name
        self._port = port
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._closed = False
        self._reason = "it was closed"
        for copy in (self._copy_in, self._copy_out):
            threading.Thread(target=copy, daemon=True).start()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._near.fileno()

    def read(self, size: int) -> bytes:
        """Bytes that have come, `size` at most."""
        try:
            data = self._near.recv(size)
        except BlockingIOError:
            return b""
        if not data:
            raise serial.SerialException(f"{self.name} is lost: {self._reason}")
        return data

    def write(self, data: bytes) -> int:
        """Sends bytes as far as the socket takes them; how many it took."""
        try:
            return self._near.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            raise serial.SerialException(f"{self.name} is lost: {self._reason}") from None

    def close(self) -> None:
        """Closes the port, which ends both threads."""
        self._closed = True
        self._near.close()
        with suppress(OSError):
            self._port.close()

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


def open_url(url: str, baud: int, **options: bool) -> Any:
    """Opens the port at `url`, a device or a URL of pyserial's; reading and writing do not wait.

    options: of serial.serial_for_url, for devices. Raises what that raises, and
    io.UnsupportedOperation for a port that has no descriptor to wait for, as loop://.
    """
    if url.lower().startswith("rfc2217://"):
        # It knows no timeout of writing, and as nobody else can open it no `exclusive` either.
        return RemotePort(serial.serial_for_url(url, baud, timeout=_READ_TIMEOUT))
    port = serial.serial_for_url(url, baud, timeout=0, write_timeout=0, **options)
    port.fileno()
    return port
