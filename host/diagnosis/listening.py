"""Listens to boards, also when they are unplugged and plugged in again: to the text that they
print, and to the reports of their nodes.

The port of a board that was unplugged, or that another program had open, is opened again as soon
as the board is back; if USB gives its MAC, at any port. A node that answers at its port gets a
DISCOVERY, and joins a session if it has the cluster's key: only then does it sign its reports. A
chip that has answered, and is silent for a while, is asked for its statistics, to distinguish a
quiet board from a dead one. While another program runs the cluster, that program has the ports.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from dataclasses import dataclass

from serial import SerialException
from serial.tools.list_ports import comports

from host.cluster.cluster_fields import ClusterFile
from host.diagnosis.port_log import Entry, PortLog
from host.diagnosis.watch import SILENT_AFTER, Watch
from host.links.access import REPL_BAUD, PortClosed, open_exclusively
from host.links.discovery import ListPorts, find_candidates, locate
from host.links.transport import Port
from host.wire.framing import encode_frame
from host.wire.reports import STATE_READY, decode_ready
from host.wire.session import ChipRestarted, HostAuthenticator
from protocol import message_types
from protocol.frame import BROADCAST, HOST, MAX_CHIP_ID
from protocol.message import FederationMessage

_REOPEN_SECONDS = 0.5
# Seconds of silence after which an incomplete line of text is shown; and seconds after which a
# board that was opened is sent a DISCOVERY: a board that starts offers its prompt before, and a
# frame would end that.
_QUIET_SECONDS = 0.5
_DISCOVER_AFTER = 3.0

_PROMPT = ">>>"
_SILENT = f"no answer for {SILENT_AFTER:g} s, though its port is open: look at its power and cable"

Print = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """A board to listen to.

    name: printed before its lines; mac: by which it is found again, None if only the port is
    known; answers: whether its node answers at this port. If it does not, a DISCOVERY would act as
    Ctrl-C, and would disturb whoever is at the prompt.
    """

    name: str
    url: str
    mac: str | None = None
    answers: bool = False

    def port(self, list_ports: ListPorts) -> str | None:
        """Returns the port at which it is now, None if there is none."""
        if self.mac is None:
            return self.url
        return locate(self.mac, self.url, find_candidates(list_ports))


class Listener:
    """Listens to one board, however often it is plugged in again."""

    def __init__(
        self, source: Source, key: bytes, show: Print, list_ports: ListPorts
    ) -> None:
        self.name = source.name
        self._source, self._key, self._show, self._list_ports = source, key, show, list_ports
        self.port: Port | None = None
        self._why = ""  # it is closed
        self._reopen_at = self._heard = 0.0
        self._discover_at: float | None = None
        self._silent_at: float | None = None  # unless something comes before
        self._log = PortLog()
        self._watch = Watch()
        self._signer: HostAuthenticator | None = None

    def tick(self, now: float) -> None:
        """Does what is due at this time: opens the port, sends a DISCOVERY, shows incomplete
        lines."""
        if self.port is None:
            if now >= self._reopen_at:
                self._reopen_at = now + _REOPEN_SECONDS
                self._open(now)
            return
        if now >= self._heard + _QUIET_SECONDS:
            for entry in self._log.flushed():
                self._take(entry, now)
        if self._discover_at is not None and now >= self._discover_at:
            self._discover_at = None
            self._discover(BROADCAST)
        if self._silent_at is not None and now >= self._silent_at:
            self._silent_at = None
            self._show(f"{self.name}: {_SILENT}")
        for chip in self._watch.fallen_silent(now):
            self._show(f"chip {chip}: {_SILENT}")
        for chip, is_silent in self._watch.due(now):
            if is_silent:  # it may have lost the session in a reset
                self._discover(chip)
            else:
                self._send(message_types.STATISTICS, chip, b"")

    def receive(self, now: float) -> None:
        """Shows what has arrived, or notices that the board is gone."""
        if self.port is None:
            return
        try:
            data = self.port.read(self.port.in_waiting or 1)
        except (OSError, SerialException) as error:
            self._lose(error)
            return
        self._heard, self._silent_at = now, None
        for entry in self._log.entries(data):
            self._take(entry, now)

    def close(self) -> None:
        """Closes the port."""
        if self.port is not None:
            self.port.close()

    def _open(self, now: float) -> None:
        url = self._source.port(self._list_ports)
        try:
            if url is None:
                raise PortClosed("it is on no port", "plug it in")
            self.port = open_exclusively(url, REPL_BAUD)
        except PortClosed as error:
            if error.wrong != self._why:  # once, not at each attempt
                self._why = error.wrong
                self._show(f"{self.name}: {error}")
            return
        self._why = ""
        self._signer = HostAuthenticator(self._key) if self._key else None
        self._log = PortLog(self._signer)
        self._watch.forget()
        self._heard = now
        self._discover_at = now + _DISCOVER_AFTER if self._source.answers else None
        self._silent_at = now + SILENT_AFTER if self._source.answers else None
        self._show(f"{self.name}: listening at {url}")

    def _take(self, entry: Entry, now: float) -> None:
        """Shows an entry, except answers to the host's own requests, and answers it."""
        message = entry.message
        if message is None:
            self._print(entry)
            self._note_text(entry.text, now)
            return
        if message.src <= MAX_CHIP_ID:
            was_silent = self._watch.note(message.src, now)
            if was_silent and message.kind != message_types.READY:
                self._show(f"chip {message.src}: answers again")
        if message.kind != message_types.STATISTICS:
            self._print(entry)
        self._answer(message)

    def _note_text(self, text: str, now: float) -> None:
        """Takes in text, which no node sends: the board is starting, and offers its prompt before
        its node runs, or it is at its prompt, where frames would act as key strokes."""
        if not self._watch.chips:  # the text may be an echo of the frames sent
            return
        if text.startswith(_PROMPT):
            self._discover_at = None
            self._watch.forget()
            return
        for chip in self._watch.chips:
            self._watch.note(chip, now)
        self._watch.hold(now + _DISCOVER_AFTER)
        self._discover_at = now + _DISCOVER_AFTER

    def _answer(self, message: FederationMessage) -> None:
        """Takes a chip that asks for a proof into the session, in which it signs its reports."""
        if self._signer is None or message.kind != message_types.READY:
            return
        ready = decode_ready(message.payload)
        if ready.state != STATE_READY:
            try:
                proof = self._signer.proof(message.src, ready.nonce)
                self._send(message_types.DISCOVERY, message.src, proof)
            except ChipRestarted:
                self._signer.renew()
                self._discover(BROADCAST)

    def _discover(self, destination: int) -> None:
        payload = self._signer.announcement() if self._signer else b"monitor"
        self._send(message_types.DISCOVERY, destination, payload)

    def _send(self, kind: int, destination: int, payload: bytes) -> None:
        if self.port is None:  # lost while an earlier frame was sent
            return
        version = 3 if self._signer else 2
        message = FederationMessage(kind, HOST, destination, 1, payload, version)
        try:
            self.port.write(encode_frame(message.encode(self._signer)))
        except (OSError, SerialException) as error:
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        if self.port is not None:
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
        list_ports: ListPorts = comports,
    ) -> None:
        self._listeners = [Listener(source, key, show, list_ports) for source in sources]

    def turn(self, timeout: float = _QUIET_SECONDS / 2) -> None:
        """Shows what arrives within `timeout` seconds, and does what is due."""
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


def list_sources(
    urls: list[str], cluster: ClusterFile | None, list_ports: ListPorts = comports
) -> list[Source]:
    """Returns the boards to listen to: those at these ports or, without any, the cluster's boards
    and all others."""
    found = []
    chips = cluster.flashed if cluster else ()
    by_mac = {chip.mac: chip for chip in chips}
    present = find_candidates(list_ports)
    for chip in chips:
        url = locate(chip.mac, chip.port, present)
        if not urls or url in urls:
            answers = (
                cluster is not None
                and cluster.has_line(chip.id)
                and cluster.link.line == "usb"
            )
            found.append(Source(f"chip {chip.id}", url or chip.port, chip.mac, answers))
    known = {source.url for source in found}
    for url in urls or [one.url for one in present if one.mac not in by_mac]:
        if url not in known:
            found.append(Source(url, url))
    return found
