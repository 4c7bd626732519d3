"""Figures of generations: tokens, seconds, and what went between host and chips for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from operator import attrgetter

from host.generation.drafts import Drafter
from host.launch.cluster import OpenCluster


@dataclass(frozen=True)
class GenerationStatistics:
    """Figures of the tokens after a generation's first, which its prompt pays for.

    tokens: how many these are; seconds: from the first token to the last, by the clock of this
    machine; synchronizations: times that all chips waited for one another; bytes: of frames
    between host and chips, both ways, as the host sees them; retransmissions: of requests, those
    for the prompt included; recoveries: times that a lost KV cache was computed again, likewise;
    drafted, accepted: tokens that were guessed, and that the model has chosen too; generations:
    how many have a first token, and first_token_seconds: after how long it was there.
    Those of several generations add up.
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
        """`count` divided among the tokens, 0 if there are none."""
        return count / self.tokens if self.tokens else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens per second of this machine's time, 0 if no time went by."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, float]:
        """Returns the figures by name."""
        return asdict(self)

    def only_repairs(self) -> GenerationStatistics:
        """Returns the same without what counts from the first token on."""
        return replace(
            self, tokens=0, seconds=0.0, synchronizations=0, bytes=0, drafted=0, accepted=0
        )


# dataclasses.astuple takes copies of copies: a tenth of the host's time for a token.
_values = attrgetter(*(field.name for field in fields(GenerationStatistics)))


class Measurement:
    """One generation's figures so far."""

    def __init__(self) -> None:
        self.statistics = GenerationStatistics()
        self.first_at: float | None = None  # when its first token was there


class Meter:
    """Measures generations that run at the same time, as many as a cluster has slots.

    What went by since the last token of any of them is put down to the one whose token is next;
    `total` is what all took together, while any was past its first token.
    """

    def __init__(
        self,
        cluster: OpenCluster,
        drafter: Drafter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """drafter: whose drafts are counted; clock: seconds."""
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
        """Returns what went by since the last call, which the total counts if others were decoding
        too."""
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
