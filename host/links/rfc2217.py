"""Ports by their URL, among them those of boards at another machine."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any

import serial

_LOOK_EVERY = 0.1  # seconds: so long a thread may outlast its port
_PIECE = 4096


class RemotePort:
    """Carries bytes between a port that has no descriptor, as rfc2217://, and a socket.

    Reading and writing do not wait. Raises SerialException, as the port would, once that is lost.
    """

    def __init__(self, port: Any) -> None:
        """port: opened, with a timeout; it belongs to this object."""
        self.name: str = port.name
        self._port = port
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._closed = False
        self._why = "it was closed"
        for carry in (self._carry_in, self._carry_out):
            threading.Thread(target=carry, daemon=True).start()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._near.fileno()

    def read(self, size: int) -> bytes:
        """What has come, `size` bytes at most."""
        try:
            data = self._near.recv(size)
        except BlockingIOError:
            return b""
        if not data:
            raise serial.SerialException(f"{self.name} is lost: {self._why}")
        return data

    def write(self, data: bytes) -> int:
        """How many of the bytes are on their way."""
        try:
            return self._near.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            raise serial.SerialException(f"{self.name} is lost: {self._why}") from None

    def close(self) -> None:
        """Ends both threads, and closes the port."""
        self._closed = True
        self._near.close()
        with suppress(OSError):
            self._port.close()

    def _carry_in(self) -> None:
        try:
            while not self._closed:
                if data := self._port.read(max(1, self._port.in_waiting)):
                    self._far.sendall(data)
        except (OSError, TypeError) as error:  # pyserial's own, where its thread has ended
            self._lose(error)

    def _carry_out(self) -> None:
        try:
            while data := self._far.recv(_PIECE):
                self._port.write(data)
        except OSError as error:
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        self._why = str(error)
        with suppress(OSError):
            self._far.shutdown(socket.SHUT_RDWR)


def opened(url: str, baud: int, **options: bool) -> Any:
    """The port at `url`, a device or a URL of pyserial's; reading and writing do not wait.

    options: of serial.serial_for_url, for devices. Raises as that does, and
    io.UnsupportedOperation for a port that cannot be waited for, as loop://.
    """
    if url.lower().startswith("rfc2217://"):
        # It knows no timeout of writing, and as nobody else can open it no `exclusive` either.
        return RemotePort(serial.serial_for_url(url, baud, timeout=_LOOK_EVERY))
    port = serial.serial_for_url(url, baud, timeout=0, write_timeout=0, **options)
    port.fileno()
    return port
