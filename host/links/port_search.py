"""Finds out which chip is at each serial port.

It sends a DISCOVERY to each port; every answer names the chip that it comes from. A board that
waits at its prompt is made to run its node. Other devices do not answer.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections.abc import Callable, Iterable

from serial import SerialException

from host.errors import ClusterError
from host.links.access import REPL_BAUD, PortClosed, open_exclusively
from host.links.transport import Line, Port
from host.wire.framing import FrameSplitter
from host.wire.session import HostAuthenticator
from protocol import message_types
from protocol.frame import BROADCAST, HOST, MAX_FRAME, ProtocolError
from protocol.message import FederationMessage

RETRANSMIT_SECONDS = 0.3
# Seconds from a soft reset until a node receives frames; doubled if that was too short.
_START_SECONDS = 0.75
_PROMPTS = (b">>> ", b"raw REPL; CTRL-B to exit\r\n>")
_PROMPT_WINDOW = 200  # the last bytes, in which a prompt is searched for


class Probe:
    """A DISCOVERY to an unknown chip at a port, and the decoding of its answers."""

    def __init__(self, key: bytes = b"", destination: int = BROADCAST) -> None:
        """key: of the cluster; destination: a chip, so that a gateway keeps it off the air."""
        self.signer = HostAuthenticator(key) if key else None
        payload = self.signer.announcement() if self.signer else os.urandom(16)
        version = 3 if self.signer else 2
        message = FederationMessage(
            message_types.DISCOVERY, HOST, destination, 1, payload, version
        )  # fmt: skip
        self.frame: bytes = message.encode(self.signer)

    def decode(self, frame: bytes) -> FederationMessage | None:
        """Returns the READY or ERROR in a frame, None if it is neither."""
        try:
            message = FederationMessage.decode(frame, self.signer)
        except ProtocolError:
            return None
        kinds = (message_types.READY, message_types.ERROR)
        return message if message.kind in kinds and message.src != HOST else None


class _ProbedPort:
    """An open port, and the bytes received from it."""

    def __init__(self, port: Port, quiet_until: float) -> None:
        self.port = port
        self.line = Line(port)
        self.quiet_until = quiet_until
        self._splitter = FrameSplitter(MAX_FRAME)
        self._text = b""
        self._start = _START_SECONDS

    def read_frames(self) -> list[bytes]:
        """Returns the frames that have arrived."""
        data = self.port.read(self.port.in_waiting)
        self._text = (self._text + data)[-_PROMPT_WINDOW:]
        frames: list[bytes] = self._splitter.frames(data)
        return frames

    def restart_at_prompt(self, now: float) -> None:
        """Makes a board that waits at its prompt run main.py, and sends it nothing for a while:
        each time twice as long."""
        if now < self.quiet_until:
            self._text = b""  # printed while it started
        if any(prompt in self._text for prompt in _PROMPTS):
            self._text = b""
            self.quiet_until = now + self._start
            self._start *= 2
            self.port.write(b"\r\x03\x02\x04")  # to the friendly prompt, and a soft reset


class PortSearch:
    """Opens ports and probes them. A context manager that closes the ports that are not taken.

    restarts: whether boards that wait at their prompt are started. A probe may interrupt programs:
    0x03 in it acts as Ctrl-C on a board that does not have its link at this port.
    """

    def __init__(self, probe: Probe, restarts: bool = True, baud: int = REPL_BAUD) -> None:
        self.closed: dict[str, PortClosed] = {}  # why a port did not open
        self.chips: dict[int, str] = {}  # the port of each chip that has answered
        self.answers: dict[int, FederationMessage] = {}
        self._ports: dict[str, _ProbedPort] = {}  # by url
        self._probe, self._restarts, self._baud = probe, restarts, baud
        self._selector = selectors.DefaultSelector()

    @property
    def silent(self) -> list[str]:
        """The open ports at which no chip has answered."""
        return sorted(set(self._ports) - set(self.chips.values()))

    def add(self, url: str, starting: bool = False) -> None:
        """Opens a port, unless it is open; starting: whether the board has just been reset, so
        that nothing is sent until its node runs."""
        if url in self._ports:
            return
        try:
            quiet_until = time.monotonic() + _START_SECONDS if starting else 0.0
            opened = _ProbedPort(open_exclusively(url, self._baud), quiet_until)
        except PortClosed as error:
            self.closed[url] = error
            return
        self._ports[url] = opened
        self._selector.register(opened.port.fileno(), selectors.EVENT_READ, url)

    def find(self, wanted: set[int], timeout: float) -> set[int]:
        """Waits at most `timeout` seconds for chips, and returns those that have not answered.

        Raises ClusterError if two boards answer as the same chip.
        """
        self._listen(lambda: wanted <= self.chips.keys(), timeout)
        return wanted - self.chips.keys()

    def find_any(self, timeout: float) -> FederationMessage | None:
        """Returns the first answer of any chip, None if none comes within `timeout` seconds."""
        self._listen(lambda: bool(self.answers), timeout)
        return next(iter(self.answers.values()), None)

    def take(self, chips: Iterable[int]) -> dict[int, Line]:
        """Returns the lines of these chips; the caller closes them."""
        return {chip: self._ports.pop(self.chips[chip]).line for chip in chips}

    def close(self) -> None:
        """Closes the ports that were not taken."""
        self._selector.close()
        for opened in self._ports.values():
            with contextlib.suppress(OSError, SerialException):
                opened.read_frames()
                if self._restarts:
                    opened.restart_at_prompt(time.monotonic())
            with contextlib.suppress(OSError, SerialException):
                opened.port.close()

    def __enter__(self) -> PortSearch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _listen(self, is_done: Callable[[], bool], timeout: float) -> None:
        end = time.monotonic() + timeout
        again = 0.0
        while self._ports and not is_done():
            now = time.monotonic()
            if now >= end:
                break
            if now >= again:
                again = now + RETRANSMIT_SECONDS
                self._send(now)
            for key, _ in self._selector.select(min(again, end) - now):
                self._receive(key.data, time.monotonic())

    def _send(self, now: float) -> None:
        for url in self.silent:
            opened = self._ports[url]
            if now < opened.quiet_until or opened.line.pending:
                continue
            try:
                opened.line.send(self._probe.frame)
            except (OSError, SerialException) as error:
                self._lose(url, error)

    def _receive(self, url: str, now: float) -> None:
        opened = self._ports[url]
        try:
            frames = opened.read_frames()
            if self._restarts:
                opened.restart_at_prompt(now)
        except (OSError, SerialException) as error:
            self._lose(url, error)
            return
        for message in filter(None, map(self._probe.decode, frames)):
            # Behind a gateway others answer too: the port is that of the chip that answers first.
            if url in self.chips.values():
                continue
            if message.src in self.chips:
                raise ClusterError(
                    f"two boards answer as chip {message.src}: at"
                    f" {self.chips[message.src]} and {url}: flash one of them again"
                )
            self.chips[message.src] = url
            self.answers[message.src] = message

    def _lose(self, url: str, error: Exception) -> None:
        opened = self._ports.pop(url)
        self._selector.unregister(opened.port.fileno())
        opened.port.close()
        self.closed[url] = PortClosed(f"lost the port {url}", str(error))
