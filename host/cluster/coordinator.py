"""Requests to chips and their answers: handshake, resending what is missing, errors by name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

from host.cluster.errors import ClusterError
from host.cluster.transport import Transport
from protocol.control import (
    NEED_KV,
    STATE_READY,
    Error,
    Ready,
    Statistics,
    error_from,
    error_name,
    ready_from,
    statistics_from,
)
from protocol.fields import u16
from protocol.fragment import Reassembler, fragments
from protocol.frame import (
    BROADCAST,
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
from protocol.matching import Outstanding
from protocol.message import MessageType
from protocol.session import ChipRestarted, HostAuthenticator

# A request is sent again after this many times the usual time for its answers, in seconds
# between these bounds; each further time the wait doubles.
_RESEND_FACTOR = 4.0
_SHORTEST_WAIT, _FIRST_WAIT, _LONGEST_WAIT = 0.004, 0.1, 0.25
# With a key, a chip that is silent this long may have restarted and lost the session.
_GREET_AFTER = 0.4


class NeedsCache(Exception):
    """Chips that have no keys and values for the positions before the one that was asked."""

    def __init__(self, chip: int) -> None:
        super().__init__(chip)
        self.chip = chip


class NeedsGreeting(Exception):
    """Chips that have been silent for so long that they may have lost the session."""

    def __init__(self, chips: list[int]) -> None:
        super().__init__(chips)
        self.chips = chips


class Coordinator:
    """Asks chips through a transport, one request at a time.

    watch: called while waiting; raises ClusterError when a chip is known to be dead.
    patience: seconds without a chip's answer after which it is given up.
    """

    def __init__(
        self,
        transport: Transport,
        chips: Iterable[int],
        *,
        signer: HostAuthenticator | None = None,
        patience: float = 2.5,
        watch: Callable[[], None] = lambda: None,
    ) -> None:
        self.chips = list(chips)
        self.boot_ids: dict[int, int] = {}
        self.resends = 0
        self.dropped = 0
        self.last_words: dict[int, str] = {}
        self._transport = transport
        self._signer = signer
        self._version = 3 if signer else 2
        self._nonce = os.urandom(16)
        self._patience = patience
        self._watch = watch
        self._outstanding = Outstanding(u16(os.urandom(2), 0))
        self._reassembler = Reassembler(len(self.chips) + 1, MAX_PAYLOAD[2])
        self._message = bytearray(MAX_FRAME)
        self._fragment = bytearray(MAX_FRAME)
        self._usual: dict[object, float] = {}
        self._answers: dict[int, bytes] = {}

    def greet(
        self,
        chips: list[int],
        patience: float | None = None,
        arrived: Callable[[int], None] = lambda chip: None,
    ) -> dict[int, Ready]:
        """What each chip says of itself, after taking it into the session.

        Raises ClusterError for a chip that failed to start or does not answer.
        """
        ready: dict[int, Ready] = {}
        nonce = self._signer.announcement() if self._signer else self._nonce
        answers = self._ask(
            MessageType.DISCOVERY, nonce, chips, "at the start", "greet", patience, arrived
        )
        for chip, payload in answers.items():
            ready[chip] = ready_from(payload)
            if ready[chip].state != STATE_READY:
                if not self._signer:
                    raise ClusterError(f"chip {chip} wants a cluster key: give the one it was flashed with")
                try:
                    proof = self._signer.proof(chip, ready[chip].nonce)
                except ChipRestarted:
                    self._signer.renew()
                    return self.greet(self.chips, patience)
                answer = self._ask(MessageType.DISCOVERY, proof, [chip], "at the start", "greet")
                ready[chip] = ready_from(answer[chip])
                if ready[chip].state != STATE_READY:
                    raise ClusterError(f"chip {chip} refuses the cluster key")
            self.boot_ids[chip] = ready[chip].boot_id
        return ready

    def compute(self, payload: bytes, chips: list[int], where: str, kind: object) -> dict[int, bytes]:
        """The payload with which each chip answers a COMPUTE; kind: what takes the same time.

        Raises NeedsCache, NeedsGreeting, or ClusterError naming chip, `where` and what it said.
        """
        return self._ask(MessageType.COMPUTE, payload, chips, where, kind)

    def statistics(self, collect: bool = False) -> dict[int, Statistics]:
        """Every chip's counters; `collect`: after collecting garbage."""
        payload = bytes([collect])
        answers = self._ask(MessageType.STATISTICS, payload, self.chips, "at the end", "statistics")
        return {chip: statistics_from(answers[chip]) for chip in self.chips}

    def _ask(
        self,
        message_type: int,
        payload: bytes,
        chips: list[int],
        where: str,
        kind: object,
        patience: float | None = None,
        arrived: Callable[[int], None] = lambda chip: None,
    ) -> dict[int, bytes]:
        sequence = self._outstanding.begin(chips)
        length = len(payload)
        self._message[HEADER_SIZE : HEADER_SIZE + length] = payload
        self._answers = {}
        start = now = time.monotonic()
        self._send(message_type, BROADCAST if len(chips) > 1 else chips[0], sequence, length)
        wait = self._wait(kind)
        resend_at = now + wait
        while self._outstanding.awaited:
            for frame in self._transport.receive(resend_at - now):
                self._take(frame, where, arrived)
            now = time.monotonic()
            if now >= resend_at and self._outstanding.awaited:
                self._watch()
                self._check_silence(now - start, patience or self._patience, message_type, where)
                for chip in self._outstanding.missing():
                    self._send(message_type, chip, sequence, length)
                    self.resends += 1
                wait = min(2 * wait, _LONGEST_WAIT)
                resend_at = now + wait
        self._learn(kind, now - start)
        return self._answers

    def _wait(self, kind: object) -> float:
        usual = self._usual.get(kind)
        return _FIRST_WAIT if usual is None else max(_RESEND_FACTOR * usual, _SHORTEST_WAIT)

    def _learn(self, kind: object, taken: float) -> None:
        """Follows the usual time down at once and up slowly, so that resends do not inflate it."""
        usual = self._usual.get(kind, taken)
        self._usual[kind] = min(usual + max(taken - usual, 0) / 16, max(taken, usual / 2))

    def _check_silence(
        self, silent: float, patience: float, message_type: int, where: str
    ) -> None:
        missing = self._outstanding.missing()
        if silent >= patience:
            name = f"chip {missing[0]}" if len(missing) == 1 else f"chips {_listed(missing)}"
            words = "; ".join(f"chip {c}: {w}" for c, w in self.last_words.items() if c in missing)
            raise ClusterError(
                f"{name} did not answer for {silent:.1f} s ({where})"
                + (f"; last words of {words}" if words else "")
            )
        if self._signer and message_type == MessageType.COMPUTE and silent >= _GREET_AFTER:
            raise NeedsGreeting(missing)

    def _send(self, message_type: int, destination: int, sequence: int, length: int) -> None:
        """Sends the payload that stands in the message buffer, in fragments where it must be."""
        message, mtu = self._message, self._transport.mtu
        write_header(message, self._version, message_type, HOST, destination, sequence, length)
        if HEADER_SIZE + length + TRAILER_SIZE[self._version] <= mtu:
            size = append_trailer(message, length, self._signer)
            self._transport.send(bytes(message[:size]), destination)
            return
        for size in fragments(message, length, mtu, self._fragment, self._signer):
            self._transport.send(bytes(self._fragment[:size]), destination)

    def _take(self, frame: bytes, where: str, arrived: Callable[[int], None]) -> None:
        """Files an answer; raises what an ERROR means."""
        message: bytes | bytearray = frame
        try:
            length = opened(frame, len(frame), self._signer)
            if frame[TYPE] == MessageType.FRAGMENT:
                length = self._reassembler.accept(frame, length)
                if not length:
                    return
                message = self._reassembler.message
            payload = bytes(message[HEADER_SIZE : HEADER_SIZE + length])
            if message[TYPE] == MessageType.ERROR:
                self._take_error(message[SRC], u16(message, SEQUENCE), error_from(payload), where)
            elif self._outstanding.accept(message[SRC], u16(message, SEQUENCE)):
                self._answers[message[SRC]] = payload
                arrived(message[SRC])
        except ProtocolError:
            self.dropped += 1

    def _take_error(self, chip: int, sequence: int, error: Error, where: str) -> None:
        if error.text:
            self.last_words[chip] = error.text
        if sequence == self._outstanding.sequence and chip in self._outstanding.missing():
            if error.code == NEED_KV:
                raise NeedsCache(chip)
            raise ClusterError(f"chip {chip}, {where}: {error_name(error.code)}: {error.text}")


def _listed(chips: list[int]) -> str:
    return ", ".join(map(str, chips[:-1])) + f" and {chips[-1]}"
