"""Sends a request to chips and awaits all answers: retransmission, timeouts, errors by name."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable

from host.cluster.dispatcher import Dispatcher, Message
from host.cluster.request import ANSWER_KINDS, NeedsCache, NeedsHandshake, Request
from host.cluster.silence import ReportedErrors, handshake_after
from host.cluster.timeout import RetransmitTimeouts, RetransmitTimer
from host.errors import ClusterError
from host.wire.reports import MISSING, NEED_KV, NEED_STEP, decode_error, error_name
from host.wire.requests import Outstanding
from protocol import message_types
from protocol.fields import u16
from protocol.frame import BROADCAST

_LOG = logging.getLogger("federation")

# The most chips to which a request is retransmitted at a time: if all answered at once, the
# answers would overflow a gateway.
MOST_RETRIES_AT_ONCE = 8
# Seconds between two calls of `watch`, which notices dead chips: it is the longest that the host
# waits for an answer that cannot come, however long the timeout is.
WATCH_EVERY = 0.05


class Requester:
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
    def is_lossless(self) -> bool:
        """Whether the link is still assumed to lose no frames."""
        return self._timeouts.is_lossless

    @property
    def line_seconds(self) -> float:
        """Seconds for which the longest request and its answers keep a line busy."""
        return self._timeouts.line_seconds

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

    def request(self, request: Request) -> dict[int, bytes]:
        """Sends a request, or again one that has a sequence number, and returns the payload of
        each chip's answer.

        Raises NeedsCache, NeedsHandshake, or ClusterError that names the chip, the request's
        `where` and the error.
        """
        surplus, is_resumed = self._outstanding.surplus, request.sequence is not None
        if request.sequence is None:
            request.sequence = self._outstanding.begin(request.chips)
        else:
            self._outstanding.resume(request.sequence, request.missing)
        self._request = request
        try:
            retries = self._await_answers(request, is_resumed)
        finally:
            self._request = None
        if request.kind != message_types.DISCOVERY:
            self._timeouts.note_answered(retries > 0, surplus, self._outstanding.surplus)
        return request.answers

    def _await_answers(self, request: Request, is_resumed: bool) -> int:
        """Sends a request, and retransmits it until all chips have answered.

        Returns the number of retransmissions.
        """
        duplicates, has_key = self._outstanding.duplicate, self.dispatcher.signer is not None
        silence = min(request.timeout, handshake_after(request, has_key))
        now = request.started = request.progress = self.clock()
        timer = RetransmitTimer(*self._timeouts.of_answers(request), now, int(is_resumed))
        if is_resumed:
            self._retransmit(request, 0)
        else:
            self._send(BROADCAST if len(request.chips) > 1 else request.chips[0])
        while self._outstanding.awaited:
            deadline = min(timer.due, request.progress + silence)
            self.poll(deadline - now)
            now = self.clock()
            if request.answers and timer.note_first_answer(now):
                deadline = timer.due
            if now < deadline or not self._outstanding.awaited:
                continue
            timer.expire(now, request.progress)
            self._check_silence(request, now, timer.retries)
            self._retransmit(request, timer.retries - 1)
        timer.finish(now, is_spurious=self._outstanding.duplicate > duplicates)
        return timer.retries

    def _check_silence(self, request: Request, now: float, retries: int) -> None:
        """Raises NeedsHandshake or ClusterError if chips are silent for too long; sets their lines
        back to the usual speed if they may have another one."""
        missing, has_key = self._outstanding.missing(), self.dispatcher.signer is not None
        self._errors.check_silence(request, missing, now, has_key, 2 * self.timeout)
        if retries > 2 and request.is_lost_on_line(now):
            for chip in missing:
                self.dispatcher.fall_back(chip)
        _LOG.debug("retransmitting: %s, chips %s", request.where, missing)

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
