"""Sends messages to chips, and hands received ones to subscribers: the one reader of a transport.

It signs and verifies, fragments and reassembles, and drops malformed frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from host.errors import ClusterError
from host.links.transport import Transport
from host.wire.framing import frame_room
from host.wire.session import HostAuthenticator
from protocol import message_types
from protocol.fields import u16
from protocol.fragment import MAX_MESSAGE, Reassembler, fragments
from protocol.frame import (
    HEADER_SIZE,
    HOST,
    MAX_FRAME,
    SEQUENCE,
    SRC,
    TYPE,
    ProtocolError,
    append_trailer,
    verify_frame,
    write_header,
)


class Message(NamedTuple):
    """A message received from a chip; source: the chip's id."""

    kind: int
    source: int
    sequence: int
    payload: bytes


# Returns whether the message was expected; raises ProtocolError for one that is malformed.
Handler = Callable[[Message], bool]


class Tap(Protocol):
    """Sees all messages that pass, and changes nothing."""

    def sent(self, kind: int, destination: int, payload: bytes) -> None: ...
    def received(self, message: Message) -> None: ...


@dataclass
class FirstChipTraffic:
    """Counts from which a gateway's traffic on the air is computed: frames and bytes that the host
    sent to other chips through it, and those that it sent to the host itself."""

    frames_passed_on: int = 0
    bytes_passed_on: int = 0
    frames_own: int = 0
    bytes_own: int = 0


class Dispatcher:
    """Sends messages to chips, and hands theirs to the subscribers of their types.

    `tap`, unless None, sees each message that passes, fragments too. `first_chip` counts frames to
    chips other than chip 0, and frames from chip 0. `dropped` counts received messages that were
    malformed, not authentic, from no chip of the cluster, or expected by no subscriber.
    """

    def __init__(
        self,
        transport: Transport,
        chips: Iterable[int],
        signer: HostAuthenticator | None = None,
    ) -> None:
        self.chips = list(chips)
        self.signer = signer
        self.dropped = 0
        self.first_chip = FirstChipTraffic()
        self.tap: Tap | None = None
        self._transport = transport
        self._version = 3 if signer else 2
        self._members = frozenset(self.chips)
        self._reassembler = Reassembler(len(self.chips) + 1, MAX_MESSAGE)
        self._message = bytearray(MAX_FRAME + MAX_MESSAGE)
        self._fragment = bytearray(MAX_FRAME)
        self._frames: deque[bytes] = deque()  # received but not dispatched yet
        self._handlers: dict[int, list[Handler]] = {}

    def limit(self, mtu: int) -> None:
        """Limits frames to `mtu` bytes, the most that all chips can take."""
        self._transport.mtu = min(self._transport.mtu, mtu)

    def subscribe(self, kinds: Iterable[int], handler: Handler) -> None:
        """Calls `handler` with each message of these types from now on.

        A subscriber to FRAGMENT gets those fragments that do not complete a message.
        """
        for kind in kinds:
            self._handlers.setdefault(kind, []).append(handler)

    def send(self, kind: int, destination: int, sequence: int, payload: bytes) -> None:
        """Sends a message to a chip, or to all, in fragments if it exceeds the MTU.

        Raises ClusterError if a port is gone.
        """
        if self.tap:
            self.tap.sent(kind, destination, payload)
        message, length = self._message, len(payload)
        message[HEADER_SIZE : HEADER_SIZE + length] = payload
        write_header(message, self._version, kind, HOST, destination, sequence, length)
        mtu = self._transport.mtu
        if length <= frame_room(self._version, mtu):
            size = append_trailer(message, length, self.signer)
            self._send(message, size, destination)
            return
        for size in fragments(message, length, mtu, self._fragment, self.signer):
            self._send(self._fragment, size, destination)

    def _send(self, buffer: bytearray, size: int, destination: int) -> None:
        self._transport.send(bytes(buffer[:size]), destination)
        if destination:
            self.first_chip.frames_passed_on += 1
            self.first_chip.bytes_passed_on += size

    def fall_back(self, chip: int) -> None:
        """Sets the line to a chip to the speed it was opened at: the chip may have restarted."""
        self._transport.fall_back(chip)

    def is_sending(self, chip: int) -> bool:
        """Returns whether the port has not taken yet all that was sent to this chip."""
        return self._transport.is_sending(chip)

    def poll(self, timeout: float) -> None:
        """Dispatches received messages; waits at most `timeout` seconds for one to come.

        Raises what a handler raises; messages after that one are dispatched by the next call.
        Raises ClusterError if a port is gone.
        """
        if not self._frames:
            self._frames.extend(self._transport.receive(timeout))
        while self._frames:
            try:
                is_expected = self._dispatch(self._frames.popleft())
            except ProtocolError:
                is_expected = False
            self.dropped += not is_expected

    def _dispatch(self, frame: bytes) -> bool:
        message: bytes | bytearray = frame
        length = verify_frame(frame, len(frame), self.signer)
        if frame[SRC] not in self._members:
            return False
        if not frame[SRC]:
            self.first_chip.frames_own += 1
            self.first_chip.bytes_own += len(frame)
        if frame[TYPE] == message_types.FRAGMENT:
            whole = self._reassembler.accept(frame, length)
            if whole:
                message, length = self._reassembler.message or frame, whole
        payload = bytes(message[HEADER_SIZE : HEADER_SIZE + length])
        received = Message(message[TYPE], message[SRC], u16(message, SEQUENCE), payload)
        if self.tap:
            self.tap.received(received)
        handlers = self._handlers.get(received.kind, ())
        is_expected = [handler(received) for handler in handlers]
        return any(is_expected) or received.kind == message_types.FRAGMENT


def decode_answer(chip: int, decode: Callable[[bytes], Any], payload: bytes) -> Any:
    """Returns decode(payload). Raises ClusterError, naming the chip, if it is malformed."""
    try:
        return decode(payload)
    except ProtocolError as error:
        raise ClusterError(f"chip {chip} sent a malformed answer: {error}") from None
