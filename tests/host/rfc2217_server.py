"""A serial device offered over the network as RFC 2217 says, with pyserial's own server side."""

import contextlib
import os
import socket
import threading

import serial
import serial.rfc2217


class Rfc2217Server:
    """A context manager. `url`: where the device at `path` is, for one client after another."""

    def __init__(self, path):
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rfc2217://127.0.0.1:{self._listener.getsockname()[1]}"
        self._connection = None
        threading.Thread(target=self._serve, daemon=True).start()

    def hang_up(self):
        """Breaks the client's connection off."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()
        if self._connection:
            self.hang_up()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                self._connection, _ = self._listener.accept()
                self._serve_one(self._connection)

    def _serve_one(self, connection):
        with serial.serial_for_url("loop://") as settings:  # which a terminal has none of
            sending = threading.Lock()

            def send(data):
                with sending:
                    connection.sendall(data)

            class Client:
                write = staticmethod(send)

            manager = serial.rfc2217.PortManager(settings, Client)
            device = os.open(self._path, os.O_RDWR | os.O_NOCTTY)
            back = threading.Thread(target=self._carry_back, args=(device, manager, send))
            back.start()
            with contextlib.suppress(OSError):
                while data := connection.recv(1024):
                    if there := b"".join(manager.filter(data)):
                        os.write(device, there)
            self._connection = None
            connection.close()
            back.join(1)

    @staticmethod
    def _carry_back(device, manager, send):
        with contextlib.suppress(OSError):
            while data := os.read(device, 1024):
                send(b"".join(manager.escape(data)))
