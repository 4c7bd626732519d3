"""Binds a server to a port, runs it and stops it."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from host.errors import ArgumentError, FederationError
from host.serving.http_protocol import TimedProtocol

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_BACKLOG = 100  # connections that may wait to be accepted
_GRACE = 5  # seconds for answers to be completed when the server stops
_KEEP_ALIVE = 30  # seconds
_UNREAD = 1 << 17  # bytes of answers that the machine keeps for a client that does not read


class PortTaken(FederationError):
    """Another program listens on the port; the message names it, if possible."""


def verify_binding(host: str, api_key: str, is_insecure: bool) -> None:
    """Raises ArgumentError if any machine in the network could use the server without a key."""
    if host not in LOOPBACK and not api_key and not is_insecure:
        raise ArgumentError(
            f"--host {host} can be reached from other machines: give --api-key, or --insecure to"
            " let anyone in"
        )


def bind(host: str, port: int) -> socket.socket:
    """Returns a socket that is bound to an address; port 0 takes any free port.

    Raises PortTaken, ArgumentError for an address that is not this machine's.
    """
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ArgumentError(f"--host {host}: {error.strerror or error}") from None
    listener = socket.socket(family, kind, number)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD)  # its connections inherit it
    try:
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            holder = find_holder(port)
            raise PortTaken(
                f"port {port} is taken{f' by {holder}' if holder else ''}: end that, or give"
                " another --port"
            ) from None
        raise ArgumentError(f"--host {host} --port {port}: {error.strerror}") from None
    return listener


def find_holder(port: int) -> str:
    """Returns the program that listens on a port, as "python3 (pid 123)".

    Returns "" if that cannot be seen, as for other users' programs. It reads Linux's /proc/net/tcp
    and /proc/PID/fd.
    """
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for file in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):  # processes that have ended, or of other users
            if str(file.readlink()) in inodes:
                process = file.parents[1]
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return ""


class _Uvicorn(uvicorn.Server):
    """uvicorn without its handling of signals, which the command does."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class WebServer:
    """An application on a socket."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        self._listener = listener
        host, port = listener.getsockname()[:2]
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", http=TimedProtocol, ws="none",
            backlog=_BACKLOG, timeout_keep_alive=_KEEP_ALIVE, timeout_graceful_shutdown=_GRACE,
            # A client could forge a header that says whom a request is for, and so take all turns.
            server_header=False, proxy_headers=False,
        )  # fmt: skip
        self._server = _Uvicorn(config)

    async def run(self) -> None:
        """Serves until `stop`, and then until answers are complete or their grace is over."""
        await self._server.serve(sockets=[self._listener])

    def stop(self) -> None:
        """Stops taking requests."""
        self._server.should_exit = True
