"""Requests to chips and their answers: handshake, resending what is missing, errors by name."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable

from host.cluster.timeout import Pace
from host.errors import ClusterError
from host.links.transport import Transport
from host.wire.reports import (
    NEED_KV,
    NEED_STEP,
    STATE_READY,
    Error,
    Ready,
    Statistics,
    error_from,
    error_name,
    ready_from,
    statistics_from,
)
from host.wire.requests import Outstanding
from host.wire.session import ChipRestarted, HostAuthenticator
from protocol import message_types
from protocol.fields import u16
from protocol.fragment import Reassembler, fragments
from protocol.frame import (
    BROADCAST,
    HEADER_SIZE,
    HOST,
    LENGTH,
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
from protocol.messages import REQUEST_SIZE

_LOG = logging.getLogger("federation")

# Seconds to wait for answers of a kind not seen before, and the most that is then learned. It
# leaves a chip some 20 repetitions within the default patience, so that with one frame in five
# lost, either way, no chip in a billion is given up for dead.
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 0.1
# Asked again all at once, many chips would again answer all at once and overflow a gateway.
_MOST_REPEATS = 8
# With a key, a chip that is silent this long may have restarted and lost the session.
_GREET_AFTER = 0.4
# A step takes chips many answers to each other: so many times as long is waited for theirs, before
# asking again and in all. A chip that missed a step finds that out from the others and says so.
_STEP_PATIENCE = 4
# Where frames are lost, many chips take long to get all of each other's: as many times at least.
_STEP_PATIENCE_A_CHIP = 0.5

_ANSWERS = {
    message_types.COMPUTE: (message_types.PARTIAL, message_types.LOGITS),
    message_types.STEP: (message_types.LOGITS, message_types.BEST, message_types.ACK),
    message_types.DISCOVERY: (message_types.READY,),
    message_types.STATISTICS: (message_types.STATISTICS,),
}
# What only a chip of the session does, and whose answers repeat what was asked.
_WORK = (message_types.COMPUTE, message_types.STEP)


class NeedsCache(Exception):
    """A chip has no keys and values for the positions before the one that was asked."""

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
        self._paces: dict[object, Pace] = {}
        self._answers: dict[int, bytes] = {}
        self._pieces: set[tuple[int, int]] = set()  # fragments of answers to the request

    def greet(
        self,
        chips: list[int],
        patience: float | None = None,
        arrived: Callable[[int], None] = lambda chip: None,
        where: str = "at the start",
    ) -> dict[int, Ready]:
        """What each chip says of itself, after taking it into the session.

        Raises ClusterError for a chip that failed to start or does not answer.
        """
        ready: dict[int, Ready] = {}
        nonce = self._signer.announcement() if self._signer else self._nonce
        answers = self._ask(
            message_types.DISCOVERY, nonce, chips, where, "greet", patience,
            lambda chip, payload: arrived(chip),
        )  # fmt: skip
        for chip, payload in answers.items():
            ready[chip] = _ready(chip, payload)
            if ready[chip].state != STATE_READY:
                if not self._signer:
                    raise ClusterError(f"chip {chip} wants the key of its cluster")
                try:
                    proof = self._signer.proof(chip, ready[chip].nonce)
                except ChipRestarted:
                    self._signer.renew()
                    return self.greet(self.chips, patience, arrived, where)
                answer = self._ask(
                    message_types.DISCOVERY, proof, [chip], where, "greet", patience
                )
                asked, ready[chip] = ready[chip], _ready(chip, answer[chip])
                if ready[chip].state != STATE_READY:
                    if ready[chip].boot_id != asked.boot_id:  # it has just restarted
                        return self.greet(chips, patience, arrived, where)
                    raise ClusterError(f"chip {chip} refuses the cluster key")
            self.boot_ids[chip] = ready[chip].boot_id
        return ready

    @property
    def session_is_worn(self) -> bool:
        """Whether the session's counters may not last for another sequence."""
        return self._signer is not None and bool(self._signer.is_worn())

    def renew_session(self) -> None:
        """Begins another session: a chip that is greeted in it forgets all before."""
        if self._signer:
            self._signer.renew()
        self._nonce = os.urandom(16)

    def compute(
        self,
        payload: bytes,
        chips: list[int],
        where: str,
        kind: object,
        arrived: Callable[[int, bytes], None] = lambda chip, payload: None,
    ) -> dict[int, bytes]:
        """The payload with which each chip answers a COMPUTE; kind: what takes the same time.

        arrived: called with each answer when it comes, while others are still awaited. Raises
        NeedsCache, NeedsGreeting, or ClusterError naming chip, `where` and what it said.
        """
        return self._ask(message_types.COMPUTE, payload, chips, where, kind, None, arrived)

    def step(
        self,
        payload: bytes,
        chips: list[int],
        where: str,
        kind: object,
        arrived: Callable[[int, bytes], None] = lambda chip, payload: None,
    ) -> dict[int, bytes]:
        """The same for a STEP, for which chips wait for one another many times: they tell by
        themselves if one is missing, so the host has more patience."""
        patience = max(_STEP_PATIENCE, _STEP_PATIENCE_A_CHIP * len(chips)) * self._patience
        return self._ask(message_types.STEP, payload, chips, where, kind, patience, arrived)

    def statistics(self, collect: bool = False) -> dict[int, Statistics]:
        """Every chip's counters; `collect`: after collecting garbage."""
        payload = bytes([collect])
        answers = self._ask(
            message_types.STATISTICS, payload, self.chips, "at the end", "statistics"
        )
        return {chip: statistics_from(answers[chip]) for chip in self.chips}

    def _ask(
        self,
        message_type: int,
        payload: bytes,
        chips: list[int],
        where: str,
        kind: object,
        patience: float | None = None,
        arrived: Callable[[int, bytes], None] = lambda chip, payload: None,
    ) -> dict[int, bytes]:
        sequence = self._outstanding.begin(chips)
        length = len(payload)
        self._message[HEADER_SIZE : HEADER_SIZE + length] = payload
        self._answers = {}
        self._pieces.clear()
        patience = patience or self._patience
        slow = _STEP_PATIENCE if message_type == message_types.STEP else 1
        pace = self._paces.setdefault(kind, Pace(slow * _FIRST_WAIT, slow * _LONGEST_WAIT))
        duplicates = self._outstanding.duplicate
        started = asked = progress = now = time.monotonic()
        self._send(message_type, BROADCAST if len(chips) > 1 else chips[0], sequence, length)
        wait, repeats = pace.wait, 0
        while self._outstanding.awaited:
            deadline = min(asked + wait, progress + patience)
            frames = self._transport.receive(deadline - now)
            now = time.monotonic()
            for frame in frames:
                if self._take(frame, where, arrived):
                    progress = now
            if now < deadline or not self._outstanding.awaited:
                continue
            if not repeats and progress > started:
                pace.learn(progress - started)
            self._watch()
            self._check_silence(now, progress, patience, message_type, where)
            _LOG.debug("asking again: %s, chips %s", where, self._outstanding.missing())
            self._repeat(message_type, sequence, length, repeats)
            wait = pace.wait if progress > asked else min(2 * wait, pace.longest_wait)
            asked, repeats = now, repeats + 1
        if not repeats:
            pace.learn(now - started)
        elif self._outstanding.duplicate > duplicates:
            pace.was_hasty()
        return self._answers

    def _repeat(self, message_type: int, sequence: int, length: int, turn: int) -> None:
        """Asks some who have not answered again, others in the next turn, and nobody whose port
        has not yet taken the request whole."""
        missing = self._outstanding.missing()
        if message_type == message_types.STEP and len(missing) > max(1, len(self._answers)):
            missing = [BROADCAST]  # in lockstep, most have not got to the end yet
        first = turn * _MOST_REPEATS % len(missing)
        for chip in (missing[first:] + missing[:first])[:_MOST_REPEATS]:
            if chip == BROADCAST or not self._transport.is_sending(chip):
                self._send(message_type, chip, sequence, length)
                self.resends += 1

    def _check_silence(
        self, now: float, progress: float, patience: float, message_type: int, where: str
    ) -> None:
        missing = self._outstanding.missing()
        # After a greeting a step begins anew, which takes many chips long where frames are lost.
        greet_after = max(_GREET_AFTER, patience / 4, patience - 3 * self._patience)
        if now >= progress + patience:
            name = f"chip {missing[0]}" if len(missing) == 1 else f"chips {_listed(missing)}"
            words = "; ".join(f"chip {c}: {w}" for c, w in self.last_words.items() if c in missing)
            raise ClusterError(
                f"{name} did not answer for {now - progress:.1f} s ({where})"
                + (f"; last words of {words}" if words else "")
            )
        if self._signer and message_type in _WORK and now - progress >= greet_after:
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

    def _take(self, frame: bytes, where: str, arrived: Callable[[int, bytes], None]) -> bool:
        """Files an answer, True if it or a part of it was awaited; raises what an ERROR means."""
        message: bytes | bytearray = frame
        try:
            length = opened(frame, len(frame), self._signer)
            if frame[TYPE] == message_types.FRAGMENT:
                length = self._reassembler.accept(frame, length)
                if not length:
                    return self._is_new_piece(frame)
                message = self._reassembler.message or frame
            payload = bytes(message[HEADER_SIZE : HEADER_SIZE + length])
            if message[TYPE] == message_types.ERROR:
                self._take_error(message[SRC], u16(message, SEQUENCE), error_from(payload), where)
            elif not self._answers_the_request(message[TYPE], payload):
                self.dropped += 1
            elif self._outstanding.accept(message[SRC], u16(message, SEQUENCE)):
                self._answers[message[SRC]] = payload
                arrived(message[SRC], payload)
                return True
        except ProtocolError:
            self.dropped += 1
        return False

    def _is_new_piece(self, fragment: bytes) -> bool:
        """Whether a fragment is of an answer that is awaited, and not one that came before.

        Its index is the second byte of its payload. There are few of them, so a chip whose last
        fragment is always lost runs out of patience like one that is silent.
        """
        chip, piece = fragment[SRC], (fragment[SRC], fragment[HEADER_SIZE + 1])
        if u16(fragment, SEQUENCE) != self._outstanding.sequence or piece in self._pieces:
            return False
        self._pieces.add(piece)
        return chip in self._outstanding.missing()

    def _answers_the_request(self, kind: int, payload: bytes) -> bool:
        """Whether a message is of the type that was asked for and names the work asked for."""
        asked = self._message[TYPE]
        if kind not in _ANSWERS[asked] or asked not in _WORK:
            return kind in _ANSWERS[asked]
        request = self._message[HEADER_SIZE : HEADER_SIZE + REQUEST_SIZE]
        return payload[:REQUEST_SIZE] == request

    def _take_error(self, chip: int, sequence: int, error: Error, where: str) -> None:
        if error.text:
            self.last_words[chip] = error.text
        if error.code == NEED_STEP:
            self._repeat_step(chip)
        elif sequence == self._outstanding.sequence and chip in self._outstanding.missing():
            if error.code == NEED_KV:
                raise NeedsCache(chip)
            raise ClusterError(f"chip {chip}, {where}: {error_name(error.code)}: {error.text}")

    def _repeat_step(self, chip: int) -> None:
        """Sends a step again to a chip that has heard of it from the others only."""
        if self._message[TYPE] == message_types.STEP and chip in self._outstanding.missing():
            length = u16(self._message, LENGTH)
            self._send(message_types.STEP, chip, self._outstanding.sequence, length)
            self.resends += 1


def _ready(chip: int, payload: bytes) -> Ready:
    try:
        return ready_from(payload)
    except ProtocolError as error:
        raise ClusterError(f"chip {chip} speaks another version: {error}") from None


def _listed(chips: list[int]) -> str:
    return ", ".join(map(str, chips[:-1])) + f" and {chips[-1]}"
