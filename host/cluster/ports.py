"""Which chip is at which serial port.

The serial number of a board's native USB (S2, S3, C3, C6) is its MAC, and federation.toml has the
MAC of each chip. A USB-UART bridge says nothing of the board behind it: there the node is asked,
for every answer names the chip that it comes from. So whatever is believed to be a chip's port,
a DISCOVERY goes out, and who answers is the chip; federation.toml only says where to look first.
A board that waits at its prompt is told to run its node; what else is there stays silent.
Where lines end at the pins of boards, they hang on serial adapters of which nothing is known: all
are asked but the boards' own ports.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from serial import SerialException
from serial.tools.list_ports import comports

from host.build.configuration import REPL_BAUD
from host.cluster.cluster_file import Cluster, mac_text
from host.errors import ClusterError
from host.links.access import PortClosed, exclusive_port
from host.links.transport import Line
from host.wire.framing import FrameSplitter
from host.wire.session import HostAuthenticator
from protocol import message_types
from protocol.frame import BROADCAST, HOST, MAX_FRAME, ProtocolError
from protocol.message import FederationMessage

# USB vendors whose devices may be boards: Espressif, and the makers of bridges on boards (Silicon
# Labs, WCH, FTDI, Prolific). Other serial devices, modems or printers, are not written to.
_ESPRESSIF = 0x303A
_VENDORS = (_ESPRESSIF, 0x10C4, 0x1A86, 0x0403, 0x067B)

# Seconds: where a chip was last seen it answers at once, and one that opening its port has reset
# needs to boot and to load its share.
EXPECTED_PATIENCE, PATIENCE = 1.5, 8.0
_ASK_AGAIN = 0.3
# From a soft reset until a node takes what comes for frames; longer where that was too short.
_START_SECONDS = 0.75
_PROMPTS = (b">>> ", b"raw REPL; CTRL-B to exit\r\n>")
_LAST_WORDS = 200  # bytes in which to look for them

ListPorts = Callable[[], Iterable[Any]]


@dataclass(frozen=True)
class Candidate:
    """A port that may be a chip's; mac: of the board, where USB tells it."""

    url: str
    mac: str | None = None


def candidates(list_ports: ListPorts = comports) -> list[Candidate]:
    """The serial ports of this machine that may be boards."""
    return [
        Candidate(port.device, _usb_mac(port))
        for port in list_ports()
        if port.vid in _VENDORS
    ]  # fmt: skip


def _usb_mac(port: Any) -> str | None:
    if port.vid != _ESPRESSIF or not port.serial_number:
        return None
    try:
        return mac_text(port.serial_number)
    except ValueError:
        return None


def probable_port(mac: str, recorded: str, present: Sequence[Candidate]) -> str | None:
    """Where the board of a MAC is if USB tells, else where it was if no other board is there."""
    for candidate in present:
        if candidate.mac == mac:
            return candidate.url
    elsewhere = any(one.url == recorded and one.mac is not None for one in present)
    return None if elsewhere else recorded


class Greeting:
    """A DISCOVERY to whoever is at a port, and the answers to it."""

    def __init__(self, key: bytes = b"", destination: int = BROADCAST) -> None:
        """key: of the cluster; destination: a chip, so that a gateway keeps it off the air."""
        self.signer = HostAuthenticator(key) if key else None
        payload = self.signer.announcement() if self.signer else os.urandom(16)
        version = 3 if self.signer else 2
        message = FederationMessage(
            message_types.DISCOVERY, HOST, destination, 1, payload, version
        )  # fmt: skip
        self.frame: bytes = message.encode(self.signer)

    def answer(self, frame: bytes) -> FederationMessage | None:
        """The READY or ERROR in a frame, None if it is no such thing."""
        try:
            message = FederationMessage.decode(frame, self.signer)
        except ProtocolError:
            return None
        kinds = (message_types.READY, message_types.ERROR)
        return message if message.kind in kinds and message.src != HOST else None


class _Asked:
    """A port that is open, and what has come from it."""

    def __init__(self, port: Any, quiet_until: float) -> None:
        self.port = port
        self.line = Line(port)
        self.quiet_until = quiet_until
        self._splitter = FrameSplitter(MAX_FRAME)
        self._text = b""
        self._start = _START_SECONDS

    def frames(self) -> list[bytes]:
        """The frames that have come in."""
        data = self.port.read(self.port.in_waiting)
        self._text = (self._text + data)[-_LAST_WORDS:]
        frames: list[bytes] = self._splitter.frames(data)
        return frames

    def restart_at_prompt(self, now: float) -> None:
        """Has a board that waits at its prompt run main.py, and leaves it alone for a while, each
        time longer."""
        if now < self.quiet_until:
            self._text = b""  # what it said on the way
        if any(prompt in self._text for prompt in _PROMPTS):
            self._text = b""
            self.quiet_until = now + self._start
            self._start *= 2
            self.port.write(b"\r\x03\x02\x04")  # to the friendly prompt, and a soft reset


class PortSearch:
    """Opens ports and asks who is there. A context manager that closes those not taken.

    restarts: whether boards that wait at their prompt are started. What is asked may itself end
    programs there: 0x03 in it is Ctrl-C to a board whose link is not this port.
    """

    def __init__(
        self, greeting: Greeting, restarts: bool = True, baud: int = REPL_BAUD
    ) -> None:
        self.closed: dict[str, PortClosed] = {}  # why a port did not open
        self.chips: dict[int, str] = {}  # the port of each chip that has answered
        self.answers: dict[int, FederationMessage] = {}
        self._asked: dict[str, _Asked] = {}  # by url
        self._greeting, self._restarts, self._baud = greeting, restarts, baud
        self._selector = selectors.DefaultSelector()

    @property
    def silent(self) -> list[str]:
        """The ports that are open and where nobody has answered."""
        return sorted(set(self._asked) - set(self.chips.values()))

    def add(self, url: str, starting: bool = False) -> None:
        """Opens a port, if it opens and is not open yet; starting: the board has just been reset,
        and is to be left alone until its node runs."""
        if url in self._asked:
            return
        try:
            quiet_until = time.monotonic() + _START_SECONDS if starting else 0.0
            asked = _Asked(exclusive_port(url, self._baud), quiet_until)
        except PortClosed as error:
            self.closed[url] = error
            return
        self._asked[url] = asked
        self._selector.register(asked.port.fileno(), selectors.EVENT_READ, url)

    def ask(self, wanted: set[int], patience: float) -> set[int]:
        """The chips of `wanted` that have not answered after `patience` seconds at most.

        Raises ClusterError where two boards say that they are the same chip.
        """
        self._listen(lambda: wanted <= self.chips.keys(), patience)
        return wanted - self.chips.keys()

    def first(self, patience: float) -> FederationMessage | None:
        """The first answer of whatever chip, None if none comes in `patience` seconds."""
        self._listen(lambda: bool(self.answers), patience)
        return next(iter(self.answers.values()), None)

    def _listen(self, done: Callable[[], bool], patience: float) -> None:
        end = time.monotonic() + patience
        again = 0.0
        while self._asked and not done():
            now = time.monotonic()
            if now >= end:
                break
            if now >= again:
                again = now + _ASK_AGAIN
                self._send(now)
            for key, _ in self._selector.select(min(again, end) - now):
                self._receive(key.data, time.monotonic())

    def take(self, chips: Iterable[int]) -> dict[int, Line]:
        """The lines of these chips, which whoever takes them closes."""
        return {chip: self._asked.pop(self.chips[chip]).line for chip in chips}

    def close(self) -> None:
        """Closes the ports that were not taken."""
        self._selector.close()
        for asked in self._asked.values():
            with contextlib.suppress(OSError, SerialException):
                asked.frames()
                if self._restarts:
                    asked.restart_at_prompt(time.monotonic())
                asked.port.close()

    def __enter__(self) -> PortSearch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, now: float) -> None:
        for url in self.silent:
            asked = self._asked[url]
            if now < asked.quiet_until or asked.line.pending:
                continue
            try:
                asked.line.send(self._greeting.frame)
            except (OSError, SerialException) as error:
                self._lose(url, error)

    def _receive(self, url: str, now: float) -> None:
        asked = self._asked[url]
        try:
            frames = asked.frames()
            if self._restarts:
                asked.restart_at_prompt(now)
        except (OSError, SerialException) as error:
            self._lose(url, error)
            return
        for message in filter(None, map(self._greeting.answer, frames)):
            # Behind a gateway others answer too: the port is that of the chip that answers first.
            if url in self.chips.values():
                continue
            if message.src in self.chips:
                raise ClusterError(
                    f"two boards say that they are chip {message.src}: at"
                    f" {self.chips[message.src]} and {url}: flash one of them anew"
                )
            self.chips[message.src] = url
            self.answers[message.src] = message

    def _lose(self, url: str, error: Exception) -> None:
        asked = self._asked.pop(url)
        self._selector.unregister(asked.port.fileno())
        asked.port.close()
        self.closed[url] = PortClosed(f"lost the port {url}", str(error))


def found_lines(
    cluster: Cluster,
    wanted: Sequence[int],
    list_ports: ListPorts = comports,
    baud: int = REPL_BAUD,
) -> dict[int, Line]:
    """The lines of the `wanted` chips, wherever they are plugged in. Raises ClusterError."""
    present = candidates(list_ports)
    with _search_for(cluster, wanted, baud) as search:
        if cluster.line == "pins":
            own = {chip.port for chip in cluster.flashed}
            for candidate in present:
                if candidate.mac is None and candidate.url not in own:
                    search.add(candidate.url)
            search.ask(set(wanted), PATIENCE)
        else:
            _ask_boards(search, cluster, wanted, present)
        return _taken(search, cluster, wanted)


def _ask_boards(
    search: PortSearch, cluster: Cluster, wanted: Sequence[int], present: Sequence[Candidate]
) -> None:
    """Asks where the `wanted` chips must be, then where they may be."""
    for chip in wanted:
        entry = cluster.chip(chip)
        port = entry and probable_port(entry.mac, entry.port, present)
        if port:
            search.add(port)
    missing = search.ask(set(wanted), EXPECTED_PATIENCE)
    others = {chip.port for chip in cluster.flashed if chip.id not in wanted}
    # Last where other chips were, which asking may interrupt.
    for group in (False, True):
        if missing:
            for candidate in present:
                known = candidate.mac is not None and cluster.chip_of(candidate.mac)
                if not known and (candidate.url in others) == group:
                    search.add(candidate.url)
            missing = search.ask(set(wanted), PATIENCE)


def lines_at(
    urls: Sequence[str], cluster: Cluster, wanted: Sequence[int], baud: int = REPL_BAUD
) -> dict[int, Line]:
    """The lines of the `wanted` chips at these ports, whatever their order.

    Raises PortClosed for one that does not open, and ClusterError.
    """
    with _search_for(cluster, wanted, baud) as search:
        for url in urls:
            search.add(url)
        for error in search.closed.values():
            raise error
        search.ask(set(wanted), PATIENCE)
        return _taken(search, cluster, wanted)


def _taken(search: PortSearch, cluster: Cluster, wanted: Sequence[int]) -> dict[int, Line]:
    missing = set(wanted) - search.chips.keys()
    if missing:
        raise _nobody(min(missing), cluster, search)
    return search.take(wanted)


def _search_for(cluster: Cluster, wanted: Sequence[int], baud: int) -> PortSearch:
    greeting = Greeting(cluster.key, wanted[0] if len(wanted) == 1 else BROADCAST)
    return PortSearch(greeting, cluster.line == "usb", baud)  # no prompt at the pins


def _nobody(chip: int, cluster: Cluster, search: PortSearch) -> ClusterError:
    """Why a chip was not found, as far as it is known."""
    for error in search.closed.values():
        return error
    where = f" at {', '.join(search.silent)}" if search.silent else ""
    strangers = sorted(set(search.chips) - set(range(cluster.chips)))
    if strangers:
        where = f", but chip {strangers[0]} at {search.chips[strangers[0]]}"
    key = "" if cluster.key else " (one with a key answers only where its federation.toml is)"
    return ClusterError(
        f"chip {chip} does not answer{where}{key}: python -m host.doctor looks at why"
    )
