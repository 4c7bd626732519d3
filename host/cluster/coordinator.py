"""Sends requests to chips and awaits their answers: retransmission, timeouts, errors by name."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable

from host.cluster.dispatcher import Dispatcher, Message, decode_answer
from host.cluster.handshake import Handshake, OnReady
from host.cluster.request import (
    ANSWER_KINDS,
    NeedsCache,
    NeedsHandshake,
    OnAnswer,
    Request,
    ignore_answer,
)
from host.cluster.silence import ReportedErrors, handshake_after
from host.cluster.timeout import RetransmitTimeout, RetransmitTimeouts
from host.errors import ClusterError
from host.wire.reports import (
    MISSING,
    NEED_KV,
    NEED_STEP,
    Ready,
    Statistics,
    decode_error,
    decode_statistics,
    error_name,
)
from host.wire.requests import Outstanding
from protocol import message_types
from protocol.fields import u16
from protocol.frame import BROADCAST

_LOG = logging.getLogger("federation")

# A request is retransmitted to so many chips at a time: if all answered at once, the answers would
# overflow a gateway.
MOST_RETRIES_AT_ONCE = 8
# Seconds between two calls of `watch`, which notices dead chips: it is the longest that the host
# waits for an answer that cannot come, however long the timeout is.
WATCH_EVERY = 0.05


class Coordinator:
    """Sends requests to the chips of a dispatcher, one at a time.

    `resends` counts retransmitted requests; `answering` has the seconds from requests to each
    chip's answers.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        timeout: float = 2.5,
        watch: Callable[[], None] = lambda: None,
        is_lossless: bool = False,
        line_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """timeout: seconds without an answer after which a chip is given up; watch: called every
        WATCH_EVERY seconds of waiting, raises ClusterError if a chip is dead; is_lossless: whether
        the link loses no frames; line_seconds: for which the longest request and its answers keep
        a line busy; clock: returns seconds."""
        self.dispatcher, self.chips = dispatcher, dispatcher.chips
        self.timeout, self.watch, self.clock = timeout, watch, clock
        self.resends = 0
        self.answering = dict.fromkeys(self.chips, 0.0)
        self._errors = ReportedErrors()
        self._handshake = Handshake(self.chips, self._discover, dispatcher.signer)
        self._outstanding = Outstanding(u16(os.urandom(2), 0))
        self._timeouts = RetransmitTimeouts(is_lossless, line_seconds)
        self._request: Request | None = None
        self._watched = -math.inf  # when `watch` was last called
        dispatcher.subscribe(ANSWER_KINDS, self._on_answer)
        dispatcher.subscribe([message_types.FRAGMENT], self._on_fragment)
        dispatcher.subscribe([message_types.ERROR], self._on_error)

    @property
    def last_errors(self) -> dict[int, str]:
        """The text of each chip's last ERROR."""
        return self._errors.last

    def advise_on_silence(self, text: str) -> None:
        """Adds a text to the errors about chips that do not answer."""
        self._errors.advice = text

    @property
    def boot_ids(self) -> dict[int, int]:
        """The boot id of each chip in the session, by chip."""
        return self._handshake.boot_ids

    @property
    def session(self) -> bytes:
        """The session's identity; see Handshake.session."""
        return self._handshake.session

    @property
    def needs_rekey(self) -> bool:
        """Whether the session's counters may not be enough for another sequence."""
        return self._handshake.needs_rekey

    @property
    def is_lossless(self) -> bool:
        """Whether the link is still assumed to lose no frames."""
        return self._timeouts.is_lossless

    @property
    def line_seconds(self) -> float:
        """Seconds for which the longest request and its answers keep a line busy."""
        return self._timeouts.line_seconds

    def rekey(self) -> None:
        """Begins a new session: a chip that joins it forgets everything before."""
        self._handshake.rekey()

    def handshake(
        self,
        chips: list[int],
        timeout: float | None = None,
        on_ready: OnReady = lambda chip: None,
        where: str = "at the start",
    ) -> dict[int, Ready]:
        """Brings chips into the session; see Handshake.run."""
        ready = self._handshake.run(chips, where, timeout, on_ready)
        self.dispatcher.limit(self._handshake.mtu)
        return ready

    def compute(
        self,
        payload: bytes,
        chips: list[int],
        where: str,
        timing: object,
        on_answer: OnAnswer = ignore_answer,
    ) -> dict[int, bytes]:
        """Sends a COMPUTE and returns the payload of each chip's answer.

        The arguments are those of Request. Raises NeedsCache, NeedsHandshake, or ClusterError that
        names the chip, `where` and its error.
        """
        kind = message_types.COMPUTE
        return self._ask(
            Request(kind, payload, chips, where, timing, self.timeout, on_answer)
        )

    def step(
        self,
        payload: bytes,
        chips: list[int],
        where: str,
        timing: object,
        on_answer: OnAnswer = ignore_answer,
    ) -> dict[int, bytes]:
        """Sends a STEP, as `compute` does a COMPUTE.

        In a STEP chips wait for one another many times, so it may take long without any chip being
        at fault. It never times out by itself: handshakes show which chips are there.
        """
        kind = message_types.STEP
        return self._ask(Request(kind, payload, chips, where, timing, math.inf, on_answer))

    def resume(self, request: Request) -> dict[int, bytes]:
        """Goes on waiting for the answers to a request, and returns them as `compute` does.

        Chips see the same request again: those that work on it go on, and those that have finished
        send their answers again.
        """
        return self._ask(request)

    def statistics(self, collect: bool = False) -> dict[int, Statistics]:
        """Returns every chip's counters; collect: whether chips collect garbage first."""
        kind, payload = message_types.STATISTICS, bytes([collect])
        answers = self._ask(
            Request(kind, payload, self.chips, "at the end", "statistics", self.timeout)
        )
        return {chip: decode_answer(chip, decode_statistics, answers[chip]) for chip in self.chips}

    def poll(self, timeout: float) -> None:
        """Dispatches received messages; waits at most `timeout` seconds for one to come.

        It waits no longer than until the next call of `watch`. Raises what a handler raises, and
        ClusterError if a port is gone or a chip is dead.
        """
        self.dispatcher.poll(min(timeout, WATCH_EVERY))
        now = self.clock()
        if now - self._watched >= WATCH_EVERY:
            self._watched = now
            self.watch()

    def ask_line(self, chip: int, payload: bytes, timeout: float) -> bytes:
        """Sends a LINE and returns the payload of the chip's answer.

        Raises ClusterError if none has come after `timeout` seconds.
        """
        kind, where = message_types.LINE, "its line's speed"
        return self._ask(Request(kind, payload, [chip], where, "line", timeout))[chip]

    def _discover(
        self,
        payload: bytes,
        chips: list[int],
        where: str,
        timeout: float | None,
        on_answer: OnAnswer = ignore_answer,
    ) -> dict[int, bytes]:
        kind, timeout = message_types.DISCOVERY, timeout or self.timeout
        return self._ask(Request(kind, payload, chips, where, "handshake", timeout, on_answer))

    def _ask(self, request: Request) -> dict[int, bytes]:
        surplus, is_resumed = self._outstanding.surplus, request.sequence is not None
        if request.sequence is None:
            request.sequence = self._outstanding.begin(request.chips)
        else:
            self._outstanding.resume(request.sequence, request.missing)
        self._request = request
        try:
            retries = self._await_answers(
                request, self._timeouts.of_request(request), is_resumed
            )
        finally:
            self._request = None
        if request.kind != message_types.DISCOVERY:
            self._timeouts.note_answered(retries > 0, surplus, self._outstanding.surplus)
        return request.answers

    def _await_answers(
        self, request: Request, timeout: RetransmitTimeout, is_resumed: bool
    ) -> int:
        """Sends a request, and retransmits it until all chips have answered.

        Returns the number of retransmissions.
        """
        duplicates, clock = self._outstanding.duplicate, self.clock
        has_key = self.dispatcher.signer is not None
        started = sent = now = request.started = request.progress = clock()
        wait, retries = timeout.seconds, int(is_resumed)
        silence = min(request.timeout, handshake_after(request, has_key))
        rest = self._timeouts.of(("rest", request.timing)) if request.is_lockstep else None
        first: float | None = None  # when the first answer of chips in lockstep came
        if is_resumed:
            self._retransmit(request, 0)
        else:
            self._send(BROADCAST if len(request.chips) > 1 else request.chips[0])
        while self._outstanding.awaited:
            deadline = min(sent + wait, request.progress + silence)
            self.poll(deadline - now)
            now = clock()
            if rest and first is None and request.answers:
                # By then the others' answers are on the way, or lost.
                first, wait = now, min(wait, now - sent + rest.seconds)
                deadline = sent + wait
            if now < deadline or not self._outstanding.awaited:
                continue
            if not retries and request.progress > started:
                timeout.measure(request.progress - started)
            missing = self._outstanding.missing()
            self._errors.check_silence(request, missing, now, has_key, 2 * self.timeout)
            if retries > 1 and request.is_lost_on_line(now):
                for chip in missing:
                    self.dispatcher.fall_back(chip)
            _LOG.debug("retransmitting: %s, chips %s", request.where, missing)
            self._retransmit(request, retries)
            wait = timeout.seconds if request.progress > sent else min(2 * wait, timeout.longest)
            sent, retries = now, retries + 1
        if not retries:
            timeout.measure(now - started)
            if rest and first is not None:
                rest.measure(now - first)
        elif self._outstanding.duplicate > duplicates:
            timeout.note_spurious()
        return retries

    def _retransmit(self, request: Request, turn: int) -> None:
        """Retransmits a request to some of the chips that have not answered, to others next turn.

        Chips whose port has not taken all of the request yet are left out.
        """
        missing = self._outstanding.missing()
        if request.kind == message_types.STEP and len(missing) > max(1, len(request.answers)):
            missing = [BROADCAST]  # in lockstep, most chips have not finished yet
        first = turn * MOST_RETRIES_AT_ONCE % len(missing)
        for chip in (missing[first:] + missing[:first])[:MOST_RETRIES_AT_ONCE]:
            if chip == BROADCAST or not self.dispatcher.is_sending(chip):
                self._send(chip)
                self.resends += 1

    def _send(self, destination: int) -> None:
        request = self._request
        if request and request.sequence is not None:
            self.dispatcher.send(request.kind, destination, request.sequence, request.payload)

    def _on_answer(self, message: Message) -> bool:
        request = self._request
        if not request or not request.is_answered_by(message.kind, message.payload):
            return False
        if self._outstanding.accept(message.source, message.sequence):
            request.progress = self.clock()
            request.answers[message.source] = message.payload
            if request.is_work:
                self.answering[message.source] += request.progress - request.started
            request.on_answer(message.source, message.payload)
        return True

    def _on_fragment(self, message: Message) -> bool:
        """Counts a new fragment of an answer as progress; returns whether it was one."""
        request = self._request
        if (
            request
            and message.sequence == request.sequence
            and message.source in self._outstanding.missing()
            and request.is_new_fragment(message.source, message.payload)
        ):
            request.progress = self.clock()
        return True

    def _on_error(self, message: Message) -> bool:
        """Handles an ERROR: raises the exception that it means for the request, if any."""
        error, chip, request = decode_error(message.payload), message.source, self._request
        if self._errors.note(chip, error, self.clock()):
            return True
        if not request or chip not in self._outstanding.missing():
            return True
        if error.code in (NEED_KV, NEED_STEP, MISSING) and not request.is_work:
            return False
        if error.code == NEED_STEP:
            if request.kind == message_types.STEP:  # the chip knows of it only from the others
                self._send(chip)
                self.resends += 1
        elif message.sequence == request.sequence:
            if error.code == NEED_KV:
                raise NeedsCache(chip)
            if error.code == MISSING:  # a handshake shows which chip has lost what
                raise NeedsHandshake(request)
            name = error_name(error.code)
            raise ClusterError(f"chip {chip}, {request.where}: {name}: {error.text}")
        return True
