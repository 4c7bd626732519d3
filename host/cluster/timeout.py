"""Estimates how long to wait for answers before a request is retransmitted."""

from __future__ import annotations

from dataclasses import dataclass

from host.cluster.request import Request
from protocol import message_types

# In a STEP chips exchange many messages: its timeout before retransmission is longer by
# this factor. A chip that missed a STEP learns of it from the others, and asks for it.
STEP_FACTOR = 4


@dataclass(frozen=True)
class Bounds:
    """Bounds of a retransmission timeout, in seconds.

    initial: the timeout before any round trip was measured; shortest: however fast answers come;
    longest: to which it backs off, unless answers are known to take longer.
    """

    initial: float
    shortest: float
    longest: float

    def scaled(self, factor: float) -> Bounds:
        """Returns the bounds for requests that take `factor` times as long; `shortest` stays."""
        return Bounds(factor * self.initial, self.shortest, factor * self.longest)

    def on_line(self, seconds: float) -> Bounds:
        """Returns the bounds if a request and its answers keep a line busy for `seconds`: so that
        the first request is not retransmitted before its answers can have come."""
        return Bounds(self.initial + seconds, self.shortest, self.longest + seconds)


# On a link that loses frames, a spurious retransmission costs less than a late one. Within the
# default timeout a chip is asked some 20 times: if one frame in five is lost in each direction,
# not one chip in a billion is given up wrongly.
LOSSY = Bounds(0.05, 0.006, 0.1)
# On a lossless link, TCP's values: the initial second of RFC 6298, and the minimum of Linux.
LOSSLESS = Bounds(1.0, 0.2, 1.0)


class RetransmitTimeout:
    """The retransmission timeout of requests whose answers take about equally long.

    It is the mean round trip and four mean deviations, as TCP estimates them (RFC 6298). The round
    trip of a request to several chips ends with the last answer.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._mean: float | None = None
        self._deviation = 0.0

    @property
    def seconds(self) -> float:
        """Seconds to wait after a request was sent until it is retransmitted."""
        if self._mean is None:
            return self.bounds.initial
        return max(self._mean + 4 * self._deviation, self.bounds.shortest)

    @property
    def longest(self) -> float:
        """Seconds that the timeout backs off to, at most."""
        return max(self.seconds, self.bounds.longest)

    def measure(self, round_trip: float) -> None:
        """Takes in the seconds until the last answer to a request that was sent once."""
        if self._mean is None:
            self._mean, self._deviation = round_trip, round_trip / 2
        self._deviation += (abs(round_trip - self._mean) - self._deviation) / 4
        self._mean += (round_trip - self._mean) / 8

    def note_spurious(self) -> None:
        """Lengthens the timeout, because a request was retransmitted while its answer was coming.

        Bounded, because where frames are lost and duplicated every retransmission looks spurious.
        """
        most = max(self._mean or 0.0, self.bounds.longest) / 4
        doubled = max(2 * self._deviation, self.bounds.shortest / 4)
        self._deviation = max(self._deviation, min(doubled, most))


class RetransmitTimer:
    """Says when a request is due to be retransmitted; measures round trips for its timeout.

    due: when, in seconds of the clock; retries: how many retransmissions there were.
    """

    def __init__(
        self, timeout: RetransmitTimeout, rest: RetransmitTimeout | None, now: float, retries: int
    ) -> None:
        """timeout: from the request to its answers; rest: from the first answer of chips in
        lockstep to the last one, None for other requests; now: when the request is sent."""
        self._timeout, self._rest = timeout, rest
        self._started = self._sent = now
        self._wait = timeout.seconds
        self._first: float | None = None  # when the first answer of chips in lockstep came
        self.retries = retries

    @property
    def due(self) -> float:
        """When the request is to be retransmitted, unless all answers come before."""
        return self._sent + self._wait

    def note_first_answer(self, now: float) -> bool:
        """Takes in that there is an answer; returns whether another time is due for that.

        It is if chips work in lockstep: by now the others' answers are on the way, or lost.
        """
        if self._rest is None or self._first is not None:
            return False
        self._first = now
        self._wait = min(self._wait, now - self._sent + self._rest.seconds)
        return True

    def expire(self, now: float, progress: float) -> None:
        """Takes in that the request is retransmitted now; progress: when an answer, or a part of
        one, last came. Without any since it was last sent, the next wait is twice as long."""
        if not self.retries and progress > self._started:
            self._timeout.measure(progress - self._started)
        doubled = min(2 * self._wait, self._timeout.longest)
        self._wait = self._timeout.seconds if progress > self._sent else doubled
        self._sent, self.retries = now, self.retries + 1

    def finish(self, now: float, is_spurious: bool) -> None:
        """Takes in that all chips have answered; is_spurious: whether an answer came twice, so
        that a retransmission was not necessary."""
        if self.retries:
            if is_spurious:
                self._timeout.note_spurious()
            return
        self._timeout.measure(now - self._started)
        if self._rest and self._first is not None:
            self._rest.measure(now - self._first)


class RetransmitTimeouts:
    """The retransmission timeouts of all kinds of requests on one link.

    A link that is declared lossless is treated so until a retransmission turns out to have been
    necessary, because no second answer followed the first.
    """

    def __init__(self, is_lossless: bool = False, line_seconds: float = 0.0) -> None:
        """line_seconds: as Bounds.on_line takes them."""
        self.is_lossless, self.line_seconds = is_lossless, line_seconds
        self._timeouts: dict[object, RetransmitTimeout] = {}
        self._factors: dict[object, float] = {}
        self._surplus: int | None = None  # duplicate answers before a retransmitted request
        # A chip that is still starting receives nothing, on any link.
        self._handshake = RetransmitTimeout(LOSSY.on_line(line_seconds))

    def of_answers(self, request: Request) -> tuple[RetransmitTimeout, RetransmitTimeout | None]:
        """Returns the timeout of a request and, if chips answer it in lockstep, the timeout from
        the first answer to the last."""
        if request.kind == message_types.DISCOVERY:
            return self._handshake, None
        factor = STEP_FACTOR if request.kind == message_types.STEP else 1
        rest = self.of(("rest", request.timing)) if request.is_lockstep else None
        return self.of(request.timing, factor), rest

    def of(self, kind: object, factor: float = 1.0) -> RetransmitTimeout:
        """Returns the timeout of a kind of request; factor: how many times as long it takes."""
        if kind not in self._timeouts:
            self._factors[kind] = factor
            self._timeouts[kind] = RetransmitTimeout(self.bounds.scaled(factor))
        return self._timeouts[kind]

    @property
    def bounds(self) -> Bounds:
        """The bounds for this link."""
        return (LOSSLESS if self.is_lossless else LOSSY).on_line(self.line_seconds)

    def note_answered(self, was_retransmitted: bool, before: int, surplus: int) -> None:
        """Takes in that a request was answered, to learn whether the link loses frames.

        before, surplus: the number of duplicate answers when it was sent, and now. The second
        answer to a retransmitted request may come while the next one is awaited.
        """
        if self._surplus is not None and surplus == self._surplus:
            self._assume_loss()
        self._surplus = before if was_retransmitted and self.is_lossless else None

    def _assume_loss(self) -> None:
        self.is_lossless = False
        for kind, timeout in self._timeouts.items():
            timeout.bounds = self.bounds.scaled(self._factors[kind])
