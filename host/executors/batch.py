"""Chooses the positions that go into one pass through the model, from all sequences that wait.

A pass can take any positions whose predecessors are in the chips' caches or in the pass itself:
those of prompts, of drafts, and the next ones of several sequences. Weights are read, and messages
sent, once for all of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import abc, deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from host.cluster.coordinator import Coordinator
from host.executors.executor import BaseExecutor, Sequence
from host.model.arithmetic import Ints
from host.model.quantized import QuantizedModel
from host.parallel.plan import Plan

Run = tuple[int, int, int]  # sequence id, first position, count


@dataclass(frozen=True)
class Row:
    """A position of a sequence."""

    sequence: Sequence
    position: int

    @property
    def token(self) -> int:
        """The token at this position."""
        return self.sequence.tokens[self.position]

    @property
    def is_scored(self) -> bool:
        """Whether the logits after this position are wanted."""
        return self.position >= len(self.sequence.tokens) - self.sequence.scored


@dataclass(frozen=True)
class Batch:
    """The rows of one pass: those of a sequence in order, and the rows to be scored last.

    scored: the number of rows to be scored.
    """

    rows: tuple[Row, ...]
    scored: int

    @property
    def tokens(self) -> list[int]:
        """The tokens [rows]."""
        return [row.token for row in self.rows]

    @property
    def is_greedy(self) -> bool:
        """Whether the best tokens after the scored rows are enough."""
        return all(row.sequence.is_greedy for row in self.scored_rows)

    @property
    def scored_rows(self) -> tuple[Row, ...]:
        """The rows that are scored."""
        return self.rows[len(self.rows) - self.scored :]

    @property
    def runs(self) -> list[Run]:
        """The rows as runs of consecutive positions."""
        runs: list[Run] = []
        places = enumerate(self.rows)
        for _, group in groupby(places, lambda each: (each[1].sequence.slot, _start(each))):
            rows = [row for _, row in group]
            runs.append((rows[0].sequence.sequence_id, rows[0].position, len(rows)))
        return runs

    @property
    def where(self) -> str:
        """The first row's position, for error messages."""
        return f"position {self.rows[0].position}"

    def advance(self) -> None:
        """Records that all rows were run."""
        for row in self.rows:
            row.sequence.position = row.position + 1


def _start(place: tuple[int, Row]) -> int:
    """Returns a key that is equal for neighbouring rows with consecutive positions."""
    at, row = place
    return row.position - at


def next_batch(
    waiting: abc.Sequence[Sequence], positions: int, scored: int
) -> Batch:
    """Returns the next rows of the sequences whose logits are awaited.

    positions: the most rows; scored: the most of them that are scored. All sequences get equally
    many rows, except that the first ones get a remainder: so pass those first that have waited
    longest.
    """
    left, dues = positions, [len(each.tokens) - each.position for each in waiting]
    counts = [0] * len(waiting)
    while left and any(dues):
        for at, due in enumerate(dues):
            if due and left:
                counts[at], dues[at], left = counts[at] + 1, due - 1, left - 1
    plain: list[Row] = []
    wanted: list[Row] = []
    for sequence, count in zip(waiting, counts, strict=True):
        first = sequence.position
        for position in range(first, first + count):
            row = Row(sequence, position)
            if not row.is_scored:
                plain.append(row)
            elif len(wanted) < scored:
                wanted.append(row)
    return Batch((*plain, *wanted), len(wanted))


class BatchExecutor(BaseExecutor):
    """Runs passes of rows of all sequences that wait, one pass after another."""

    def __init__(
        self,
        model: QuantizedModel,
        plan: Plan,
        coordinator: Coordinator,
        digests: Mapping[int, bytes],
    ) -> None:
        super().__init__(model, plan, coordinator, digests)
        self._waiting: deque[Sequence] = deque()  # the one that last had rows at the end

    def open(self) -> Sequence:
        """Returns a new sequence in a free slot. Raises ValueError if no slot is free."""
        sequence = super().open()
        self._waiting.append(sequence)
        return sequence

    def close(self, sequence: Sequence) -> None:
        """Frees the slot of a sequence."""
        super().close(sequence)
        self._waiting.remove(sequence)

    def completed(self) -> tuple[Sequence, Ints]:
        """Runs passes until all logits of a sequence have come, and returns both."""
        while True:
            awaited = self._awaited()
            for sequence in awaited:
                if len(sequence.scores) == sequence.scored:
                    scores = np.stack(sequence.scores)
                    sequence.scores.clear()
                    sequence.is_awaited = False
                    return self._complete(sequence, scores)
            due = [each for each in self._waiting if each.is_awaited]
            most = self.plan.most_scored(all(each.is_greedy for each in due))
            batch = next_batch(due, self.plan.positions, most)
            logits = self._run(batch)
            if logits is None:
                continue
            batch.advance()
            for row, its_logits in zip(batch.scored_rows, logits, strict=True):
                row.sequence.scores.append(its_logits)
            self._requeue(batch)

    @abstractmethod
    def _run(self, batch: Batch) -> Ints | None:
        """Runs all rows of a batch; returns the logits [scored, vocab] after its scored rows.

        Returns None if the sequences had to be begun again."""

    def _requeue(self, batch: Batch) -> None:
        """Moves the sequences that had rows behind those that had none."""
        served = {row.sequence.slot for row in batch.rows}
        later = [each for each in self._waiting if each.slot in served]
        sooner = [each for each in self._waiting if each.slot not in served]
        self._waiting = deque(sooner + later)
