"""Turns bytes from a port into readable lines: text of MicroPython, and messages of a node."""

from __future__ import annotations

from dataclasses import dataclass

from host.wire.framing import decode_frame
from host.wire.reports import decode_error, decode_ready, error_name
from host.wire.session import HostAuthenticator
from protocol import message_types
from protocol.cobs import encoded_size
from protocol.frame import MAX_FRAME, ProtocolError
from protocol.message import FederationMessage, type_name

_LONGEST = encoded_size(MAX_FRAME)
# Bytes of lines of text; those from 0x80 on are UTF-8.
_TEXT = frozenset([0x09, 0x0D, 0x1B, *range(0x20, 0x7F), *range(0x80, 0x100)])


@dataclass(frozen=True)
class Entry:
    """A line of a log; chip, message: the source of a message, and the message; None for text."""

    text: str
    chip: int | None = None
    message: FederationMessage | None = None


class PortLog:
    """Collects bytes from a port, and returns the entries that they complete.

    A frame ends with 0x00 and its second byte is its version, 1 to 3, which is in no text: so text
    up to a line's end can be distinguished from the beginning of a frame.
    """

    def __init__(self, signer: HostAuthenticator | None = None) -> None:
        """signer: has the cluster's key, to read frames of version 3; None without a key."""
        self._signer = signer
        self._rest = b""

    def entries(self, data: bytes) -> list[Entry]:
        """Returns the entries that these bytes complete."""
        *pieces, self._rest = (self._rest + data).split(b"\0")
        found = [entry for piece in pieces for entry in self._piece(piece)]
        lines, self._rest = _lines(self._rest)
        found += map(Entry, lines)
        if len(self._rest) > _LONGEST:
            self._rest = b""
        return found

    def flushed(self) -> list[Entry]:
        """Returns text without a line end, such as a prompt; for a port that has been quiet for a
        while."""
        if not self._rest or not _TEXT.issuperset(self._rest):
            return []
        text, self._rest = self._rest, b""
        return [Entry(_shown(text))] if _shown(text) else []

    def _piece(self, piece: bytes) -> list[Entry]:
        """Returns the entries of the bytes before a 0x00: lines of text, then a frame."""
        lines, rest = _lines(piece)
        entries = [Entry(line) for line in lines]
        frame = decode_frame(rest) if rest else None
        if frame is not None:
            try:
                message = FederationMessage.decode(frame, self._signer)
                entries.append(Entry(_described(message), message.src, message))
            except ProtocolError as error:
                entries.append(Entry(f"a frame that cannot be read: {error}"))
        elif rest and _TEXT.issuperset(rest):
            entries.append(Entry(_shown(rest)))
        elif rest:
            entries.append(Entry(f"{len(rest)} damaged bytes"))
        return entries


def _lines(data: bytes) -> tuple[list[str], bytes]:
    """Returns the lines of text at the beginning of `data`, and the rest."""
    lines = []
    while b"\n" in data:
        line, _, after = data.partition(b"\n")
        if not _TEXT.issuperset(line):
            break
        lines.append(_shown(line))
        data = after
    return [line for line in lines if line], data


def _shown(line: bytes) -> str:
    """Returns a line without characters that would move a terminal's cursor or change colours."""
    text = line.decode(errors="replace")
    return "".join(char for char in text if char.isprintable() or char == "\t").rstrip()


def _described(message: FederationMessage) -> str:
    """Returns a message in words. Raises ProtocolError."""
    if message.kind == message_types.ERROR:
        error = decode_error(message.payload)
        return f"{error_name(error.code)}: {_shown(error.text.encode())}"
    if message.kind == message_types.READY:
        ready = decode_ready(message.payload)
        return (
            f"ready: firmware {ready.firmware}, model {ready.model_hash.hex()},"
            f" {ready.heap_free // 1024} KB of heap free"
        )
    return f"{type_name(message.kind)}, {len(message.payload)} bytes"
