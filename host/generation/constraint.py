"""Constrains answers to a grammar, token by token, and computes how sure the model is of them.

The model's most probable token is taken if the grammar allows it. If it does not, the answer is
refused, and no other token is tried: a command that is only near to something possible is not to
be carried out. A token that must follow in any case is not computed by the model.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from host.grammar.automaton import DEAD, Automaton
from host.model.arithmetic import Ints
from host.model.prompt_format import describe_doubt
from host.model.tokenizers.text import Tokenizer

_MOST_KEPT = 4096


class TokenTexts:
    """The texts of a vocabulary's tokens, and the tokens with which its tokenizer writes a
    text."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: int) -> None:
        """vocabulary: the number of tokens."""
        self.stops, self._tokenizer, self._size = tokenizer.stops, tokenizer, vocabulary
        self._written: dict[tuple[str, tuple[int, ...], str], tuple[int, ...]] = {}

    # Computed when it is first needed: without a grammar it never is.
    @functools.cached_property
    def texts(self) -> list[str]:
        """The text of each token, empty for tokens that end a text; a character is a byte."""
        return [
            "" if token in self.stops else self._tokenizer.decode(token, -1).decode("latin-1")
            for token in range(self._size)
        ]

    @functools.cached_property
    def _inside(self) -> set[str]:
        """All pairs of neighbouring characters inside tokens: between any other two characters,
        one token ends and another begins."""
        return {text[at : at + 2] for text in self.texts for at in range(len(text) - 1)}

    @functools.cached_property
    def _prefix(self) -> list[int]:
        return self._tokenizer.encode("\n", bos=False)

    def splits(self, before: str, after: str) -> bool:
        """Returns whether a token ends between these two characters in every text."""
        return before + after not in self._inside

    def write(self, text: str, tokens: tuple[int, ...], path: str) -> tuple[int, ...]:
        """Returns the tokens of `path` after a text of these tokens; none if the tokenizer would
        have used other tokens for the text."""
        key = text, tokens, path
        found = self._written.get(key)
        if found is None:
            if len(self._written) >= _MOST_KEPT:
                self._written.clear()
            whole = self._tokenizer.encode(f"\n{text}{path}", bos=False)
            start = [*self._prefix, *tokens]
            is_so = whole[: len(start)] == start
            found = self._written[key] = tuple(whole[len(start) :]) if is_so else ()
        return found


@dataclass(frozen=True)
class Cursor:
    """A position in an answer: the automaton's state after `tokens`, which are `text`."""

    automaton: Automaton
    vocabulary: TokenTexts
    state: int = Automaton.start
    text: str = ""
    tokens: tuple[int, ...] = ()

    def follow(self, token: int) -> Cursor | None:
        """Returns the position after a token, None if it may not follow."""
        text = self.vocabulary.texts[token]
        state = self.automaton.follow(self.state, text) if text else DEAD
        if state == DEAD:
            return None
        return replace(self, state=state, text=self.text + text, tokens=(*self.tokens, token))

    def may_end(self) -> bool:
        """Returns whether the answer may end here."""
        return self.automaton.is_final(self.state)

    def must_end(self) -> bool:
        """Returns whether nothing may follow."""
        return self.may_end() and not self.automaton.edges(self.state)

    def list_forced(self) -> tuple[int, ...]:
        """Returns the tokens that must follow, as the tokenizer writes them; only those that do
        not depend on the text after them."""
        path, state = self.automaton.find_sole_path(self.state)
        following = self.automaton.edges(state)
        while path and not all(self.vocabulary.splits(path[-1], each) for each in following):
            following = {path[-1]: state}
            path = path[:-1]
        return self.vocabulary.write(self.text, self.tokens, path) if path else ()

    def mask(self) -> npt.NDArray[np.bool_]:
        """Returns which tokens [vocab] may follow."""
        texts = self.vocabulary.texts
        states = (self.automaton.follow(self.state, text) if text else DEAD for text in texts)
        found = np.array([state != DEAD for state in states])
        if self.may_end():
            found[list(self.vocabulary.stops)] = True
        return found


class Constraint:
    """Constrains an answer to its grammar. refused: why it is refused, "" if it is not.

    An answer is refused if its confidence is below `least`. That is the confidence of its least
    certain token: its probability if only it and the best other token were possible. It depends on
    logits alone, which are the same on any number of chips.
    """

    def __init__(self, cursor: Cursor, logit_exponent: int, least: float = 0.5) -> None:
        """logit_exponent: of the quantized model, 0 for one in floats; least: 0.5 or more, because
        chips may report only the best tokens."""
        self.refused = ""
        self.margin = math.inf  # in logits
        self._cursor, self._scale, self._least = cursor, 2.0**-logit_exponent, least

    @property
    def confidence(self) -> float:
        """From 0 to 1; 1 if there was never a choice of tokens."""
        return confidence_of(self.margin)

    def next_forced(self) -> int | None:
        """Returns the token that must follow, None if there is a choice, or none to follow."""
        forced = self._cursor.list_forced()
        return forced[0] if forced else None

    def must_end(self) -> bool:
        """Returns whether nothing may follow."""
        return self._cursor.must_end()

    def mask(self) -> npt.NDArray[np.bool_]:
        """Returns which tokens [vocab] may follow."""
        return self._cursor.mask()

    def choose(self, token: int, logits: Ints) -> bool:
        """Takes in the token that was chosen from logits [vocab]; returns whether it is
        accepted."""
        best = np.partition(logits, -2)[-2:]
        other = best[0] if logits[token] == best[1] else best[1]
        self.margin = min(self.margin, float(logits[token] - other) * self._scale)
        is_end = token in self._cursor.vocabulary.stops
        if is_end and not self._cursor.may_end():
            self.refused = f"{self._cursor.text!r} is no whole answer"
        elif not is_end and not self.take(token):
            text = self._cursor.text + self._cursor.vocabulary.texts[token]
            self.refused = f"no answer may begin with {text!r}"
        elif self.confidence < self._least:
            self.refused = describe_doubt(self.confidence, self._least)
        return not self.refused

    def take(self, token: int) -> bool:
        """Moves to the position after a token; returns False, and stays, if it may not follow."""
        cursor = self._cursor.follow(token)
        self._cursor = cursor or self._cursor
        return cursor is not None

    def amend(self, drafts: Sequence[int]) -> list[int]:
        """Returns drafts of the following tokens, at most as many as given: with the tokens that
        must follow inserted, and up to the first one that may not follow."""
        cursor, left = self._cursor, list(drafts)
        found: list[int] = []
        while len(found) < len(drafts):
            forced = cursor.list_forced()
            token = forced[0] if forced else left[0] if left else None
            after = None if token is None else cursor.follow(token)
            if after is None or token is None:
                break
            left = left[1:] if left[:1] == [token] else []
            found.append(token)
            cursor = after
        return found


def confidence_of(margin: float) -> float:
    """Returns the probability of one of two tokens; margin: its logit less that of the other."""
    return 1 / (1 + math.exp(-margin)) if margin > -700 else 0.0
