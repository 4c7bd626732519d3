"""Observes what each chip of a cluster does, by the messages between it and the host."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from host.cluster.dispatcher import Message
from protocol import message_types
from protocol.frame import BROADCAST, HEADER_SIZE
from protocol.messages import LAYER, PHASE, PHASE_ATTENTION, PHASE_FEED_FORWARD

IDLE, COMPUTING, SENDING, WAITING = "idle", "compute", "send", "wait"
MOST_SPANS = 1000  # spans of one token that are kept
_WORK = frozenset((message_types.COMPUTE, message_types.STEP))
_RESULTS = frozenset((message_types.LOGITS, message_types.BEST, message_types.CANDIDATES))
_PHASES = {PHASE_ATTENTION: "attention", PHASE_FEED_FORWARD: "feed-forward"}


class Span(NamedTuple):
    """The time from a request to a chip's answer, in seconds of the clock."""

    chip: int
    label: str
    start: float
    end: float


@dataclass
class TokenTimeline:
    """What chips did for one token; seconds: from the last token to this one."""

    start: float
    seconds: float
    spans: list[Span]


class Activity:
    """Watches a dispatcher, in the thread of its cluster; other threads may read the attributes.

    states: what each chip does now; last: the timeline of the last token.
    """

    def __init__(self, chips: list[int], clock: Callable[[], float] = time.monotonic) -> None:
        self.states = dict.fromkeys(chips, IDLE)
        self.last: TokenTimeline | None = None
        self._clock = clock
        self._asked: dict[int, tuple[str, float]] = {}  # by chip that has not answered yet
        self._spans: list[Span] = []
        self._since = clock()

    def sent(self, kind: int, destination: int, payload: bytes) -> None:
        """Records a message that the host has sent."""
        if kind not in _WORK:
            return
        now, label = self._clock(), _label(kind, payload)
        for chip in self.states if destination == BROADCAST else (destination,):
            if chip in self.states:
                self._asked.setdefault(chip, (label, now))  # a request that is sent again
                self.states[chip] = COMPUTING

    def received(self, message: Message) -> None:
        """Records a message that a chip has sent."""
        chip = message.source
        if message.kind in _RESULTS and chip in self.states:  # the last stage of a pipeline too,
            self._asked.setdefault(chip, ("step", self._since))  # which the host does not ask
        if chip not in self._asked:
            return
        if message.kind == message_types.FRAGMENT:
            self.states[chip] = SENDING
        elif message.kind != message_types.ERROR:
            label, start = self._asked.pop(chip)
            self.states[chip] = WAITING
            if len(self._spans) < MOST_SPANS:
                self._spans.append(Span(chip, label, start, self._clock()))

    def complete_token(self) -> None:
        """Records that a token is complete.

        If chips did nothing for it, because it was the only one possible, it belongs to the last
        timeline.
        """
        now = self._clock()
        if self._spans:
            self.last = TokenTimeline(self._since, now - self._since, self._spans)
        self._spans, self._since = [], now

    def begin(self) -> None:
        """Records that a text begins: what was before does not belong to its first token."""
        if all(state == IDLE for state in self.states.values()):
            self._spans, self._since = [], self._clock()

    def rest(self) -> None:
        """Records that no text is being generated."""
        self._asked.clear()
        self.states.update(dict.fromkeys(self.states, IDLE))


def _label(kind: int, payload: bytes) -> str:
    if kind == message_types.STEP:
        return "step"
    phase = payload[PHASE - HEADER_SIZE]
    if phase not in _PHASES:
        return "vocabulary"
    return f"{_PHASES[phase]} {payload[LAYER - HEADER_SIZE]}"
