"""Shows what all boards print and report, in one view: `python -m host.monitor`.

Each line begins with the chip that it is from. A board that is unplugged, or whose port another
program holds, is opened again as soon as it is back, at whatever port if USB tells its MAC. A node
that answers at its port is greeted, and joins a session if it has the cluster's key: only then
does it sign what it reports. While another program runs the cluster, that has ports and reports.
"""

from __future__ import annotations

import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from serial import SerialException

from host.build.configuration import REPL_BAUD
from host.cli.arguments import TERMINATED, Parser, exit_code
from host.cluster import cluster_file, ports
from host.cluster.cluster_file import Cluster
from host.diagnosis.port_log import Entry, PortLog
from host.errors import ClusterError
from host.links.access import PortClosed, exclusive_port
from host.wire.framing import encode_frame
from host.wire.reports import decode_ready
from host.wire.session import ChipRestarted, HostAuthenticator
from protocol import message_types
from protocol.frame import BROADCAST, HOST
from protocol.message import FederationMessage
from protocol.messages import STATE_READY

_REOPEN_SECONDS = 0.5
# Silence after which text without an end is shown, and time after which a board that was opened is
# greeted: in it, one that starts offers its prompt, which a host that speaks would end.
_QUIET_SECONDS = 0.5
_GREET_AFTER = 3.0

Print = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """A board to listen to. name: before its lines; mac: by which it is found again, None where
    only the port is known; answers: whether its node does so at this port. To a board whose node
    does not, a greeting is Ctrl-C, and whoever is at a prompt is not to be disturbed."""

    name: str
    url: str
    mac: str | None = None
    answers: bool = False

    def port(self, list_ports: ports.ListPorts) -> str | None:
        """Where it is now, as far as it is known."""
        if self.mac is None:
            return self.url
        return ports.probable_port(self.mac, self.url, ports.candidates(list_ports))


class Listener:
    """Listens to one board, through all its pluggings."""

    def __init__(
        self, source: Source, key: bytes, show: Print, list_ports: ports.ListPorts
    ) -> None:
        self.name = source.name
        self._source, self._key, self._show, self._list_ports = source, key, show, list_ports
        self.port: Any = None
        self._why = ""  # it is closed
        self._reopen_at = self._heard = 0.0
        self._greet_at: float | None = None
        self._log = PortLog()
        self._signer: HostAuthenticator | None = None

    def tick(self, now: float) -> None:
        """What is due at this time: opening, greeting, showing what has no end."""
        if self.port is None:
            if now >= self._reopen_at:
                self._reopen_at = now + _REOPEN_SECONDS
                self._open(now)
            return
        if now >= self._heard + _QUIET_SECONDS:
            for entry in self._log.flushed():
                self._print(entry)
        if self._greet_at is not None and now >= self._greet_at:
            self._greet_at = None
            self._send(BROADCAST, self._signer.announcement() if self._signer else b"monitor")

    def receive(self, now: float) -> None:
        """Takes what has come, or notices that the board is gone."""
        try:
            data = self.port.read(self.port.in_waiting or 1)
        except (OSError, SerialException) as error:
            self._lose(error)
            return
        self._heard = now
        for entry in self._log.entries(data):
            self._print(entry)
            self._answer(entry.message)

    def close(self) -> None:
        """Leaves the port to others."""
        if self.port is not None:
            self.port.close()

    def _open(self, now: float) -> None:
        url = self._source.port(self._list_ports)
        try:
            if url is None:
                raise PortClosed("it is on no port", "plug it in")
            self.port = exclusive_port(url, REPL_BAUD)
        except PortClosed as error:
            if error.wrong != self._why:  # once, not at each attempt
                self._why = error.wrong
                self._show(f"{self.name}: {error}")
            return
        self._why = ""
        self._signer = HostAuthenticator(self._key) if self._key else None
        self._log = PortLog(self._signer)
        self._heard = now
        self._greet_at = now + _GREET_AFTER if self._source.answers else None
        self._show(f"{self.name}: listening at {url}")

    def _answer(self, message: FederationMessage | None) -> None:
        """Takes a chip that asks for a proof into the session, in which it signs its reports."""
        if self._signer is None or message is None or message.kind != message_types.READY:
            return
        ready = decode_ready(message.payload)
        if ready.state != STATE_READY:
            try:
                self._send(message.src, self._signer.proof(message.src, ready.nonce))
            except ChipRestarted:
                self._signer.renew()
                self._send(BROADCAST, self._signer.announcement())

    def _send(self, destination: int, payload: bytes) -> None:
        if self.port is None:  # lost as something before this was sent
            return
        version = 3 if self._signer else 2
        message = FederationMessage(
            message_types.DISCOVERY, HOST, destination, 1, payload, version
        )
        try:
            self.port.write(encode_frame(message.encode(self._signer)))
        except (OSError, SerialException) as error:
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        self.port.close()
        self.port = None
        self._show(f"{self.name}: unplugged, waiting for it ({error})")

    def _print(self, entry: Entry) -> None:
        name = self.name if entry.chip is None else f"chip {entry.chip}"
        self._show(f"{name}: {entry.text}")


class Monitor:
    """All listeners. list_ports: as pyserial's comports."""

    def __init__(
        self,
        sources: list[Source],
        key: bytes,
        show: Print,
        list_ports: ports.ListPorts = ports.comports,
    ) -> None:
        self._listeners = [Listener(source, key, show, list_ports) for source in sources]

    def turn(self, timeout: float = _QUIET_SECONDS / 2) -> None:
        """Shows what comes in `timeout` seconds at most, and does what is due."""
        now = time.monotonic()
        for listener in self._listeners:
            listener.tick(now)
        open_ones = {one.port.fileno(): one for one in self._listeners if one.port is not None}
        for descriptor in select.select(open_ones, [], [], timeout)[0]:
            open_ones[descriptor].receive(time.monotonic())

    def close(self) -> None:
        """Closes all ports."""
        for listener in self._listeners:
            listener.close()


def sources(
    urls: list[str], cluster: Cluster | None, list_ports: ports.ListPorts = ports.comports
) -> list[Source]:
    """What to listen to: these ports, or without any the cluster's boards and all others."""
    found = []
    chips = cluster.flashed if cluster else ()
    by_mac = {chip.mac: chip for chip in chips}
    present = ports.candidates(list_ports)
    for chip in chips:
        url = ports.probable_port(chip.mac, chip.port, present)
        if not urls or url in urls:
            reached = cluster is not None and (cluster.link == "uart" or chip.id == 0)
            answers = reached and cluster is not None and cluster.line == "usb"
            found.append(Source(f"chip {chip.id}", url or chip.port, chip.mac, answers))
    known = {source.url for source in found}
    for url in urls or [one.url for one in present if one.mac not in by_mac]:
        if url not in known:
            found.append(Source(url, url))
    return found


def run(urls: list[str], show: Print) -> NoReturn:
    """Shows what boards say, until it is interrupted. Raises ClusterError."""
    cluster = cluster_file.read()
    listened = sources(urls, cluster)
    if not listened:
        raise ClusterError("no board on any port: plug one in, or give its port")
    monitor = Monitor(listened, cluster.key if cluster else b"", show)
    try:
        while True:
            monitor.turn()
    finally:
        monitor.close()


def _print(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    parser = Parser(
        prog="python -m host.monitor", description="Shows what all boards print and report."
    )
    parser.add_argument(
        "ports", nargs="*", metavar="PORT", help="a port or pyserial URL (default: all boards)"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    return exit_code(lambda: run(options.ports, _print), (ClusterError,))


if __name__ == "__main__":
    sys.exit(main())
