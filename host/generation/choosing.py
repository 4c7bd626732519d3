"""Chooses the tokens of a text: by a sampler and, if there is one, a grammar."""

from __future__ import annotations

from collections.abc import Container, Iterator

import numpy as np

from host.generation.constraint import Constraint, Cursor, TokenTexts
from host.model.arithmetic import Ints
from host.model.prompt_format import PromptFormat
from host.model.sampling import Sampler
from host.model.tokenizers.bpe import BOS, EOS


class TokenChooser:
    """Chooses the tokens that follow a prompt until `steps` tokens stand after BOS.

    As in llama2.c, steps counts the prompt's tokens too, and a token of `stops` ends the text.
    has_ended: whether one has.
    """

    def __init__(
        self,
        prompt: int,
        steps: int,
        sampler: Sampler,
        logit_exponent: int,
        stops: Container[int] = (BOS, EOS),
        constraint: Constraint | None = None,
    ) -> None:
        """prompt: its tokens, BOS included; constraint: what tokens keep to, None for nothing.
        Raises ValueError if the prompt leaves no step."""
        if prompt > steps:
            raise ValueError(f"{steps} steps for a prompt of {prompt} tokens")
        self._count, self._steps, self._stops, self._sampler = prompt, steps, stops, sampler
        self._scale = 2.0**-logit_exponent if sampler.temperature else 1
        self.has_ended, self._constraint = False, constraint

    @property
    def is_greedy(self) -> bool:
        """Whether it takes the most probable token, so that other logits do not matter."""
        return not self._sampler.temperature

    @property
    def refused(self) -> str:
        """Why the constraint refuses the answer, "" if it does not."""
        return self._constraint.refused if self._constraint else ""

    @property
    def confidence(self) -> float:
        """The confidence of the least certain token, from 0 to 1; 1 without a constraint."""
        return self._constraint.confidence if self._constraint else 1.0

    @property
    def is_full(self) -> bool:
        """Whether all steps are taken."""
        return self._count > self._steps

    @property
    def is_done(self) -> bool:
        """Whether no token follows."""
        return self.has_ended or self.is_full

    @property
    def left(self) -> int:
        """The most tokens that can still follow."""
        return max(0, self._steps + 1 - self._count)

    def end(self) -> None:
        """Ends the text, as a token of `stops` does."""
        self.has_ended = True

    def next_token(self, logits: Ints) -> int | None:
        """Chooses from logits [vocab]; None if that ends the text. A token that must follow is
        taken whatever the logits are."""
        for token in self.take_forced(1):
            return token
        if self.has_ended:
            return None
        scores = logits * self._scale
        if self._constraint and self._sampler.temperature:
            scores = np.where(self._constraint.mask(), scores, -np.inf)
        token = self._sampler.choose(scores)
        is_refused = self._constraint and not self._constraint.choose(token, logits)
        if is_refused or token in self._stops:
            self.has_ended = True
            return None
        self._count += 1
        return token

    def take_forced(self, most: int | None = None) -> Iterator[int]:
        """Yields tokens that must follow, at most `most`; ends the text if it must end."""
        while self._constraint and not self.is_done and most != 0:
            token = self._constraint.next_forced()
            if token is None:
                self.has_ended = self._constraint.must_end()
                return
            self._constraint.take(token)
            self._count += 1
            most = None if most is None else most - 1
            yield token

    def amend(self, drafts: list[int]) -> list[int]:
        """Returns the drafts as Constraint.amend changes them."""
        return self._constraint.amend(drafts) if self._constraint else drafts


def make_chooser(
    form: PromptFormat,
    prompt: str,
    tokens: int,
    steps: int,
    vocabulary: TokenTexts,
    logit_exponent: int,
    sampler: Sampler | None = None,
) -> TokenChooser:
    """Returns the chooser for the tokens that follow a prompt.

    tokens: the length of the prompt in the model's format; steps: tokens after BOS in all;
    sampler: None for the most probable token.
    """
    automaton = form.automaton(prompt)
    constraint = None
    if automaton:
        cursor = Cursor(automaton, vocabulary)
        constraint = Constraint(cursor, logit_exponent, form.confidence.least)
    sampler = sampler or Sampler()
    return TokenChooser(tokens, steps, sampler, logit_exponent, vocabulary.stops, constraint)
