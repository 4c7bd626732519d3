"""Messages to chips and from them, each for itself: no request that waits for an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from host.links.transport import Transport
from host.wire.session import HostAuthenticator
from protocol import message_types
from protocol.fields import u16
from protocol.fragment import Reassembler, fragments
from protocol.frame import (
    HEADER_SIZE,
    HOST,
    MAX_FRAME,
    MAX_PAYLOAD,
    SEQUENCE,
    SRC,
    TRAILER_SIZE,
    TYPE,
    ProtocolError,
    append_trailer,
    opened,
    write_header,
)


class Message(NamedTuple):
    """What a chip said."""

    kind: int
    source: int
    sequence: int
    payload: bytes


class Messages:
    """Sends and receives on a transport, in the session that a Coordinator has begun."""

    def __init__(self, transport: Transport, chips: int, signer: HostAuthenticator | None) -> None:
        self.dropped = 0
        self._transport, self._signer = transport, signer
        self._version = 3 if signer else 2
        self._reassembler = Reassembler(chips + 1, MAX_PAYLOAD[2])
        self._message, self._fragment = bytearray(MAX_FRAME), bytearray(MAX_FRAME)

    def send(self, kind: int, destination: int, sequence: int, payload: bytes) -> None:
        """Sends a message to a chip or to all, in fragments where it must be."""
        message, length = self._message, len(payload)
        message[HEADER_SIZE : HEADER_SIZE + length] = payload
        write_header(message, self._version, kind, HOST, destination, sequence, length)
        mtu = self._transport.mtu
        if HEADER_SIZE + length + TRAILER_SIZE[self._version] <= mtu:
            size = append_trailer(message, length, self._signer)
            self._transport.send(bytes(message[:size]), destination)
            return
        for size in fragments(message, length, mtu, self._fragment, self._signer):
            self._transport.send(bytes(self._fragment[:size]), destination)

    def received(self, timeout: float) -> Iterator[Message]:
        """What has come, whole and intact, waiting for any at most `timeout` seconds."""
        for frame in self._transport.receive(timeout):
            try:
                message = self._opened(frame)
            except ProtocolError:
                self.dropped += 1
                continue
            if message:
                yield message

    def _opened(self, frame: bytes) -> Message | None:
        message: bytes | bytearray = frame
        length = opened(frame, len(frame), self._signer)
        if frame[TYPE] == message_types.FRAGMENT:
            length = self._reassembler.accept(frame, length)
            if not length:
                return None
            message = self._reassembler.message or frame
        payload = bytes(message[HEADER_SIZE : HEADER_SIZE + length])
        return Message(message[TYPE], message[SRC], u16(message, SEQUENCE), payload)
