"""The clusters for tests of faults, and the text that each must generate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache

from bench.virtual.cluster import VirtualCluster, virtual_cluster
from bench.virtual.model import reference_text, small_model
from host.parallel.parallelism import ALL_REDUCE, HOST_REDUCE, Link, Parallelism, hybrid, pipeline

PROMPT, STEPS = [1, 5, 9], 40
TIMEOUT = 15.0  # seconds that boards have to answer
# And how many chips.
STRATEGIES: dict[str, tuple[Parallelism, int]] = {
    "host reduce": (HOST_REDUCE, 3),
    "all-reduce": (ALL_REDUCE, 3),
    "pipeline": (pipeline(2), 2),
    "hybrid": (hybrid(2), 4),
}
LINKS = {"UART": ("uart", None), "ESP-NOW": ("espnow", 250)}


@dataclass(frozen=True)
class Case:
    """A strategy on a link; signed: with a key."""

    strategy: str
    link: str
    signed: bool

    @property
    def chips(self) -> int:
        """How many there are."""
        return STRATEGIES[self.strategy][1]

    def open(
        self, *, loss: float = 0.0, seed: int = 0, timeout: float = TIMEOUT
    ) -> AbstractContextManager[VirtualCluster]:
        """Returns the connected cluster."""
        parallelism, chips = STRATEGIES[self.strategy]
        kind, mtu = LINKS[self.link]
        link = Link(kind, "pins", mtu, self.signed)
        return virtual_cluster(
            small_model(), chips, parallelism, link, loss=loss, seed=seed, timeout=timeout
        )

    def __str__(self) -> str:
        return f"{self.strategy}, {self.link}, {'signed' if self.signed else 'unsigned'}"


def all_cases(signed: tuple[bool, ...] = (False, True)) -> Iterator[Case]:
    """Yields every strategy on every link."""
    for strategy in STRATEGIES:
        for link in LINKS:
            for each in signed:
                yield Case(strategy, link, each)


@cache
def expected_text() -> tuple[int, ...]:
    """Returns the text of the reference."""
    return tuple(reference_text(small_model(), PROMPT, STEPS))
