"""A serial device offered over the network as RFC 2217 says, with pyserial's own server side."""

import contextlib
import fcntl
import os
import select
import socket
import threading

import serial
import serial.rfc2217


class Rfc2217Server:
    """A context manager. `url`: where the device at `path` is, for one client after another.

    The device is open, and locked, while a client is connected.
    """

    def __init__(self, path):
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rfc2217://127.0.0.1:{self._listener.getsockname()[1]}"
        self.clients = 0  # so far
        self._connection = None
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def hang_up(self):
        """Breaks the client's connection off."""
        with contextlib.suppress(OSError, AttributeError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._waker)
        self._thread.join()
        os.close(self._wake)
        self._listener.close()

    def _serve(self):
        while self._wake not in select.select([self._listener, self._wake], [], [])[0]:
            self._connection, _ = self._listener.accept()
            self.clients += 1
            device = os.open(self._path, os.O_RDWR | os.O_NOCTTY)
            fcntl.flock(device, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                with self._connection, contextlib.suppress(OSError):
                    self._carry(device)
            finally:
                os.close(device)

    def _carry(self, device):
        """Bytes both ways until the client, the device or all of it ends."""
        with serial.serial_for_url("loop://") as settings:  # which a terminal has none of
            sending = threading.Lock()

            def send(data):
                with sending:
                    self._connection.sendall(data)

            class Client:
                write = staticmethod(send)

            manager = serial.rfc2217.PortManager(settings, Client)
            while True:
                ready = select.select([self._connection, device, self._wake], [], [])[0]
                if self._wake in ready:
                    return
                if self._connection in ready:
                    data = self._connection.recv(1024)
                    if not data:
                        return
                    there = b"".join(manager.filter(data))
                    while there:
                        there = there[os.write(device, there) :]
                if device in ready:
                    send(b"".join(manager.escape(os.read(device, 1024))))
