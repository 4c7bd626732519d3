"""How busy a pipeline was kept, and how idle its stages were."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from host.executors.executor import Idle
from host.parallel.plan import Stage


class Activity:
    """Counts since chips last forgot everything.

    `steps` that were sent, `completions` of logits, `most_sequences` that were open at once,
    `seconds` that logits were awaited.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.steps = self.completions = self.most_sequences = 0
        self.seconds = 0.0
        self._clock = clock
        self._since = 0.0

    def reset(self) -> None:
        """Counts anew, as chips do that have forgotten everything."""
        self.steps = self.completions = 0
        self.seconds = 0.0
        self.start()

    def start(self) -> None:
        """Takes in that logits are awaited from now on."""
        self._since = self._clock()

    def complete(self) -> None:
        """Takes in that logits were there."""
        now = self._clock()
        self.seconds, self._since = self.seconds + now - self._since, now
        self.completions += 1

    def micro_batches(self) -> float:
        """How many STEPs were on their way for a token of each sequence together, on average."""
        return self.steps / self.completions * self.most_sequences

    def idle(self, stages: Sequence[Stage], busy_ms: Mapping[int, int]) -> Idle | None:
        """How idle the stages were, None where nothing was completed; busy_ms: of each chip."""
        if not self.completions:
            return None
        busy = [max(busy_ms[chip] for chip in stage.chips) for stage in stages]
        measured = max(0.0, 1 - sum(busy) / (1000 * self.seconds * len(busy)))
        micro_batches = self.micro_batches()
        return Idle(
            len(stages), micro_batches, measured, idle_share(len(stages), micro_batches)
        )


def idle_share(stages: int, micro_batches: float) -> float:
    """The share of their time that stages idle, as GPipe's formula has it for so many
    micro-batches at a time: (S - 1) / (S + M - 1) (Huang et al., 2019)."""
    return (stages - 1) / (stages + micro_batches - 1)
