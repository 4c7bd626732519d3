"""Guesses of the tokens that follow, made without a second model.

A pass through the model that checks k guesses costs little more than one that runs a token, for
messages and waits are the same, and yields as many tokens as were guessed right and one more. Two
sources guess: where the text repeats itself, what followed the last time ("prompt lookup", Saxena,
2023); and else what followed most often in texts of the model's own (host/model/own_text.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from host.launch.cluster import OpenCluster
from host.model.loading import LoadedModel
from host.model.own_text import load_own_text
from host.parallel.cost.drafts import count_that_pays
from protocol.messages import MAX_POSITIONS

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
        tokens = np.concatenate([np.empty(0, np.int64), *texts])
        left = np.concatenate([tokens[:0], *(np.arange(len(text), 0, -1) for text in texts)])
        self._ends = [  # by the number of tokens, less one
            _count_ends(tokens, np.flatnonzero(left > count), count, self._bits)
            for count in range(1, min(LONGEST, 62 // self._bits) + 1)
        ]

    def guess(self, tokens: Sequence[int]) -> tuple[int, float] | None:
        """Returns the token that followed the longest end of `tokens` that is known, and how often
        in proportion; None for an end that is not."""
        for count in range(min(len(self._ends), len(tokens)), 0, -1):
            key = 0
            for token in tokens[len(tokens) - count :]:
                key = key << self._bits | token
            ends = self._ends[count - 1]
            at = int(ends.keys.searchsorted(key))
            if at < len(ends.keys) and ends.keys[at] == key:
                return int(ends.following[at]), float(ends.parts[at])
        return None


@dataclass(frozen=True)
class _Ends:
    """Ends of as many tokens, by ascending `keys`, the tokens' bits in a row; what followed each
    most often, the lowest token of equally frequent ones; in which part of the cases. Arrays, for
    a dictionary of as many tuples takes longer to make than it saves."""

    keys: NDArray[np.int64]
    following: NDArray[np.int64]
    parts: NDArray[np.float64]


def _count_ends(
    tokens: NDArray[np.int64], at: NDArray[np.int64], count: int, bits: int
) -> _Ends:
    """Counts what follows `count` tokens, of `bits` each, from each place of `at` on."""
    keys, following = np.zeros(len(at), np.int64), tokens[at + count]
    for place in range(count):
        keys = keys << bits | tokens[at + place]
    order = np.lexsort((following, keys))
    keys, following = keys[order], following[order]
    firsts = np.flatnonzero(_starts(keys, following))  # of each pair
    counts = np.diff(firsts, append=len(keys))
    keys, following = keys[firsts], following[firsts]
    order = np.lexsort((following, -counts, keys))
    keys, following = keys[order], following[order]
    firsts = np.flatnonzero(_starts(keys))  # of each key: its most frequent pair
    totals = np.add.reduceat(counts, firsts) if len(firsts) else counts
    return _Ends(keys[firsts], following[firsts], counts[order][firsts] / totals)


def _starts(*columns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Returns where another value begins in sorted columns."""
    changes = [np.diff(column, prepend=column[:1] - 1) != 0 for column in columns]
    return np.logical_or.reduce(changes)


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
            token, part = found
            likely *= part
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
    own = load_own_text(source.own_text, vocabulary) if source.own_text else None
    if most is None:
        most = count_that_pays(plan, cluster.boards, own.yields if own else [1.0])
    table = NgramTable(own.texts, vocabulary) if own and most else None
    return Drafter(table, most) if most else None


def measure_yields(
    texts: Sequence[NDArray[np.integer]], vocabulary: int, most: int = MAX_POSITIONS - 1
) -> list[float]:
    """Returns how many tokens a pass gives with no guess, one, ... `most`: of some texts, guessed
    from the others."""
    drafter = Drafter(NgramTable(texts[::2], vocabulary), most)
    right = [_count_right(drafter, text.tolist()) for text in texts[1::2][:_MEASURED]]
    yields = []
    for count in range(most + 1):
        tokens = passes = 0
        for runs in right:
            at = 0
            while at < len(runs):
                at, passes = at + 1 + min(runs[at], count), passes + 1
            tokens += len(runs)
        yields.append(tokens / passes if passes else 1.0)
    return yields


def _count_right(drafter: Drafter, text: list[int]) -> list[int]:
    """Returns how many guesses are right after each token but the last, at most as many as leave
    another token: of a shorter draft, which begins as a longer one does, as many or all."""
    counts = []
    for at in range(1, len(text)):
        drafts = drafter.draft(text[:at], len(text) - at - 1)
        right = takewhile(lambda pair: pair[0] == pair[1], zip(drafts, text[at:], strict=False))
        counts.append(sum(1 for _ in right))
    return counts
