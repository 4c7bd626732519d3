"""Measures how busy a pipeline was kept, and how idle its stages were."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from host.executors.executor import Idle
from host.parallel.plan import Stage


class Activity:
    """Counts since the chips last forgot everything.

    steps: sent; completions: of logits; most_sequences: open at the same time; seconds: for which
    logits were awaited.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.steps = self.completions = self.most_sequences = 0
        self.seconds = 0.0
        self._clock = clock
        self._since = 0.0

    def reset(self) -> None:
        """Sets all counts to zero, as chips do that have forgotten everything."""
        self.steps = self.completions = 0
        self.seconds = 0.0
        self.start()

    def start(self) -> None:
        """Records that logits are awaited from now on."""
        self._since = self._clock()

    def complete(self) -> None:
        """Records that the logits have come."""
        now = self._clock()
        self.seconds, self._since = self.seconds + now - self._since, now
        self.completions += 1

    def micro_batches(self) -> float:
        """Returns the mean number of STEPs under way at a time, the M of GPipe's formula."""
        return self.steps / self.completions * self.most_sequences

    def idle(self, stages: Sequence[Stage], busy_ms: Mapping[int, int]) -> Idle | None:
        """Returns how idle the stages were, None if nothing was completed; busy_ms: by chip."""
        if not self.completions:
            return None
        busy = [max(busy_ms[chip] for chip in stage.chips) for stage in stages]
        measured = max(0.0, 1 - sum(busy) / (1000 * self.seconds * len(busy)))
        micro_batches = self.micro_batches()
        return Idle(
            len(stages), micro_batches, measured, idle_share(len(stages), micro_batches)
        )


def idle_share(stages: int, micro_batches: float) -> float:
    """Returns the fraction of time that stages are idle by GPipe's formula, (S - 1) / (S + M - 1)
    for S stages and M micro-batches (Huang et al., 2019)."""
    return (stages - 1) / (stages + micro_batches - 1)
