"""Measures generations: tokens, seconds, and the traffic between host and chips."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from operator import attrgetter

from host.generation.drafts import Drafter
from host.launch.cluster import OpenCluster


@dataclass(frozen=True)
class GenerationStatistics:
    """Figures of the tokens of a generation after the first; the first one's count as the
    prompt's.

    tokens: their number; seconds: from the first token to the last, by the clock of this machine;
    synchronizations: times that all chips waited for one another; bytes: of frames between host
    and chips, in both directions, as the host counts them; retransmissions: of requests, including
    those for the prompt; recoveries: times that a lost KV cache was rebuilt, also for the prompt;
    drafted, accepted: drafted tokens, and those of them that the model accepted; generations: the
    number with a first token; first_token_seconds: until that came. Several generations' add up.
    """

    tokens: int = 0
    seconds: float = 0.0
    synchronizations: int = 0
    bytes: int = 0
    retransmissions: int = 0
    recoveries: int = 0
    drafted: int = 0
    accepted: int = 0
    generations: int = 0
    first_token_seconds: float = 0.0

    def __add__(self, other: GenerationStatistics) -> GenerationStatistics:
        pairs = zip(_values(self), _values(other), strict=True)
        return GenerationStatistics(*(mine + its for mine, its in pairs))

    def __sub__(self, other: GenerationStatistics) -> GenerationStatistics:
        pairs = zip(_values(self), _values(other), strict=True)
        return GenerationStatistics(*(mine - its for mine, its in pairs))

    def per_token(self, count: int) -> float:
        """Returns `count` per token, 0 if there are no tokens."""
        return count / self.tokens if self.tokens else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens per second of this machine's time, 0 if no time has passed."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, float]:
        """Returns the figures by name."""
        return asdict(self)

    def only_repairs(self) -> GenerationStatistics:
        """Returns these figures without those that count from the first token on."""
        return replace(
            self, tokens=0, seconds=0.0, synchronizations=0, bytes=0, drafted=0, accepted=0
        )


# dataclasses.astuple makes deep copies, which took a tenth of the host's time for a token.
_values = attrgetter(*(field.name for field in fields(GenerationStatistics)))


class Measurement:
    """One generation's figures so far."""

    def __init__(self) -> None:
        self.statistics = GenerationStatistics()
        self.first_at: float | None = None  # when its first token was there


class Meter:
    """Measures generations that run at the same time.

    The time and traffic since the last token of any of them is attributed to the one that gets the
    next token. `total` has the figures of all, while any of them was past its first token.
    """

    def __init__(
        self,
        cluster: OpenCluster,
        drafter: Drafter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """drafter: its drafts are counted, None for none; clock: returns seconds."""
        self.total = GenerationStatistics()
        self._cluster, self._drafter, self._clock = cluster, drafter, clock
        self._decoding: set[Measurement] = set()  # past the first token
        self._last = self._read()
        self._began = self._last.seconds

    def note_token(self, own: Measurement) -> None:
        """Takes in that a generation has one more token."""
        is_counted = own in self._decoding
        spent = self._spent(own, is_counted)
        if is_counted:
            assert own.first_at is not None
            seconds = self._last.seconds - own.first_at
            own.statistics = replace(own.statistics + replace(spent, tokens=1), seconds=seconds)
            self.total = replace(self.total, tokens=self.total.tokens + 1)
        else:
            waited = GenerationStatistics(
                generations=1, first_token_seconds=self._last.seconds - self._began
            )
            own.statistics += spent.only_repairs() + waited
            self.total += waited
            own.first_at = self._last.seconds
            self._decoding.add(own)

    def note_end(self, own: Measurement) -> None:
        """Takes in that a generation has ended."""
        own.statistics += self._spent(own, False).only_repairs()
        self._decoding.discard(own)

    def _spent(self, own: Measurement, is_counted: bool) -> GenerationStatistics:
        """Returns the figures since the last call; the total counts them fully if others were
        decoding too."""
        now = self._read()
        spent, self._last = now - self._last, now
        is_shared = is_counted or bool(self._decoding - {own})
        self.total += spent if is_shared else spent.only_repairs()
        return spent

    def _read(self) -> GenerationStatistics:
        cluster = self._cluster
        return GenerationStatistics(
            seconds=self._clock(),
            synchronizations=cluster.executor.synchronizations,
            bytes=cluster.exchanged_bytes,
            retransmissions=cluster.coordinator.resends,
            recoveries=cluster.executor.recoveries,
            drafted=self._drafter.drafted if self._drafter else 0,
            accepted=self._drafter.accepted if self._drafter else 0,
        )
