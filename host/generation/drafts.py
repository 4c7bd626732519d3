"""Drafts the tokens that follow, without a second model.

A pass through the model that checks k drafts costs little more than one for a single token,
because messages and waits are the same; it yields one token more than drafts were right. There are
two sources: if the text repeats itself, the tokens that followed the last time ("prompt lookup",
Saxena, 2023); else the tokens that followed most often in texts that the model wrote
(host/model/own_text.py).
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

# A draft costs more than it saves if it is less likely than this that all of it is right.
_LEAST_LIKELY = 0.3
LONGEST = 5  # tokens on which a draft depends
_MEASURED = 16  # texts on which the yield of drafts is measured
_REPEATED = (6, 5, 4)  # a text repeats itself if so many tokens occurred before


class NgramTable:
    """The token that followed most often after up to LONGEST tokens, and in which fraction of
    cases."""

    def __init__(self, texts: Sequence[NDArray[np.integer]], vocabulary: int) -> None:
        """texts: the tokens of each; vocabulary: the number of tokens."""
        self._bits = max(1, (vocabulary - 1).bit_length())
        tokens = np.concatenate([np.empty(0, np.int64), *texts])
        left = np.concatenate([tokens[:0], *(np.arange(len(text), 0, -1) for text in texts)])
        self._ends = [  # by the number of tokens, less one
            _count_ends(tokens, np.flatnonzero(left > count), count, self._bits)
            for count in range(1, min(LONGEST, 62 // self._bits) + 1)
        ]

    def guess(self, tokens: Sequence[int]) -> tuple[int, float] | None:
        """Returns the token that followed the longest known end of `tokens`, and in which fraction
        of cases; None if no end is known."""
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
    """Sequences of some number of tokens, sorted by `keys`, their bits concatenated; the token
    that followed each most often (the lowest of equally frequent ones); and in which fraction of
    cases. Arrays, because a dictionary of so many tuples takes longer to make than it saves."""

    keys: NDArray[np.int64]
    following: NDArray[np.int64]
    parts: NDArray[np.float64]


def _count_ends(
    tokens: NDArray[np.int64], at: NDArray[np.int64], count: int, bits: int
) -> _Ends:
    """Counts what follows each sequence of `count` tokens, of `bits` bits each, that begins at one
    of `at`."""
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
    """Returns the places in sorted columns at which a new value begins."""
    changes = [np.diff(column, prepend=column[:1] - 1) != 0 for column in columns]
    return np.logical_or.reduce(changes)


class Drafter:
    """Drafts up to `most` tokens at a time. drafted, accepted: how many so far, and how many of
    these the model has accepted."""

    def __init__(
        self,
        table: NgramTable | None = None,
        most: int = 8,
        least_likely: float = _LEAST_LIKELY,
    ) -> None:
        """least_likely: a draft ends before it is less likely than this that all of it is
        right."""
        self.most = most
        self.drafted = self.accepted = 0
        self._table, self._least_likely = table, least_likely

    def draft(self, tokens: Sequence[int], most: int) -> list[int]:
        """Returns tokens that may follow these, at most `most`."""
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
        """Takes in how many tokens of a draft the model has accepted."""
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
