"""Guesses of the tokens that follow, made without a second model.

A pass through the model that checks k guesses costs little more than one that runs a token, for
messages and waits are the same, and yields as many tokens as were guessed right and one more. Two
sources guess: where the text repeats itself, what followed the last time ("prompt lookup", Saxena,
2023); and else what followed most often in texts of the model's own (host/model/own_text.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from host.launch.cluster import OpenCluster
from host.model.loading import LoadedModel
from host.model.own_text import load_own_text
from host.parallel.cost.drafts import count_that_pays

# A guess that is less likely to be right, with those before it, costs more than it saves.
_LEAST_LIKELY = 0.3
LONGEST = 5  # tokens before a guess that are looked at
_MEASURED = 16  # texts, of which it is measured how well they are guessed
_REPEATED = (6, 5, 4)  # as many must be the same for a text to be taken to repeat itself


class NgramTable:
    """What followed most often after up to LONGEST tokens, and in which part of the cases."""

    def __init__(self, texts: Sequence[NDArray[np.integer]], vocabulary: int) -> None:
        """texts: tokens of each; vocabulary: how many tokens there are."""
        self._bits = max(1, (vocabulary - 1).bit_length())
        self._next: list[dict[int, tuple[int, float]]] = []  # by the number of tokens, less one
        for count in range(1, min(LONGEST, 62 // self._bits) + 1):
            self._next.append(self._count(texts, count))

    def guess(self, tokens: Sequence[int]) -> tuple[int, float] | None:
        """Returns the token that followed the longest end of `tokens` that is known, and how often
        in proportion; None for an end that is not."""
        for count in range(min(len(self._next), len(tokens)), 0, -1):
            key = 0
            for token in tokens[len(tokens) - count :]:
                key = key << self._bits | token
            if found := self._next[count - 1].get(key):
                return found
        return None

    def _count(
        self, texts: Sequence[NDArray[np.integer]], count: int
    ) -> dict[int, tuple[int, float]]:
        """What follows so many tokens."""
        keys, following = [], []
        for text in texts:
            tokens = np.asarray(text, np.int64)
            key = np.zeros(max(0, len(tokens) - count), np.int64)
            for at in range(count):
                key = key << self._bits | tokens[at : at + len(key)]
            keys.append(key)
            following.append(tokens[count:])
        pairs = np.stack([np.concatenate(keys), np.concatenate(following)], axis=1)
        if not len(pairs):
            return {}
        distinct, counts = np.unique(pairs, axis=0, return_counts=True)
        # Of each key the most frequent, and of equal ones the lowest token, comes last.
        order = np.lexsort((-distinct[:, 1], counts, distinct[:, 0]))
        distinct, counts = distinct[order], counts[order]
        ends = np.flatnonzero(np.append(np.diff(distinct[:, 0]) != 0, True))
        totals = np.diff(np.concatenate([[0], counts.cumsum()[ends]]))
        shares = counts[ends] / totals
        rows = distinct[ends]
        guesses = zip(rows[:, 1].tolist(), shares.tolist(), strict=True)
        return dict(zip(rows[:, 0].tolist(), guesses, strict=True))


class Drafter:
    """Guesses up to `most` tokens at a time. drafted, accepted: how many so far, and how many of
    these the model has chosen too."""

    def __init__(
        self,
        table: NgramTable | None = None,
        most: int = 8,
        least_likely: float = _LEAST_LIKELY,
    ) -> None:
        """least_likely: guesses end where it is less likely that all of them are right."""
        self.most = most
        self.drafted = self.accepted = 0
        self._table, self._least_likely = table, least_likely

    def draft(self, tokens: Sequence[int], most: int) -> list[int]:
        """Returns tokens that may follow these, at most so many."""
        most = min(most, self.most)
        repeated = _find_repetition(tokens, most)
        drafts, text, likely = list(repeated), [*tokens, *repeated], 1.0
        while self._table and len(drafts) < most:
            found = self._table.guess(text)
            if not found:
                break
            token, share = found
            likely *= share
            if likely < self._least_likely:
                break
            drafts.append(token)
            text.append(token)
        return drafts

    def note(self, drafted: int, accepted: int) -> None:
        """Takes in how many tokens of a draft the model has chosen too."""
        self.drafted += drafted
        self.accepted += accepted


def _find_repetition(tokens: Sequence[int], most: int) -> Sequence[int]:
    """Returns what followed the last time that the text ended as it does now."""
    for count in _REPEATED:
        end = tokens[len(tokens) - count :]
        for at in range(len(tokens) - count - 1, -1, -1):
            if tokens[at : at + count] == end:
                return tokens[at + count : at + count + most]
    return []


def make_drafter(
    source: LoadedModel, cluster: OpenCluster, most: int | None
) -> Drafter | None:
    """Returns what guesses for a model, from its own text where it has some; None for nothing.

    most: tokens at a time, None for as many as pay, 0 for no guesses at all. Raises ModelError for
    a file of texts that cannot be read.
    """
    if most == 0:
        return None
    vocabulary, plan = source.config.vocab_size, cluster.executor.plan
    texts = load_own_text(source.own_text, vocabulary) if source.own_text else None
    if most is None:
        yields = measure_yields(texts, vocabulary, plan.positions - 1) if texts else [1.0]
        most = count_that_pays(plan, cluster.boards, yields)
    table = NgramTable(texts, vocabulary) if texts and most else None
    return Drafter(table, most) if most else None


def measure_yields(
    texts: Sequence[NDArray[np.int64]], vocabulary: int, most: int
) -> list[float]:
    """Returns how many tokens a pass gives with no guess, one, ... `most`: of some texts, guessed
    from the others."""
    table, measured = NgramTable(texts[::2], vocabulary), texts[1::2][:_MEASURED]
    yields = []
    for count in range(most + 1):
        drafter, tokens, passes = Drafter(table, count), 0, 0
        for text in measured:
            known = text.tolist()
            at = 1
            while at < len(known):
                drafts = drafter.draft(known[:at], count)
                right = 0
                while right < len(drafts) and known[at : at + right + 1] == drafts[: right + 1]:
                    right += 1
                gained = min(right + 1, len(known) - at)
                at, tokens, passes = at + gained, tokens + gained, passes + 1
        yields.append(tokens / passes if passes else 1.0)
    return yields
