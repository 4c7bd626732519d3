"""Serial ports as ser2net on another machine offers them: a socket for each."""

import os
import select
import socket
import threading

import serial


class ServedPort:
    """A context manager; `url`: where the port is found, by one program at a time."""

    def __init__(self, path):
        self._port = serial.Serial(path, 115200, exclusive=True)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self._server.getsockname()[1]}"
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._waker)
        self._thread.join()
        os.close(self._wake)
        self._server.close()
        self._port.close()

    def _serve(self):
        while self._wake not in select.select([self._server, self._wake], [], [])[0]:
            with self._server.accept()[0] as client:
                self._carry(client)

    def _carry(self, client):
        """Bytes both ways until the client or all of it ends."""
        while True:
            ready = select.select([client, self._port, self._wake], [], [])[0]
            if self._wake in ready:
                return
            if client in ready:
                data = client.recv(4096)
                if not data:
                    return
                self._port.write(data)
            if self._port in ready:
                client.sendall(self._port.read(self._port.in_waiting))
