"""Generating text: a prompt in, tokens out, whatever runs the model."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Protocol

from host.model.arithmetic import Ints
from host.model.sampling import Sampler
from host.model.tokenizers.bpe import BOS, EOS


class Forward(Protocol):
    """What runs the model: a federation."""

    def begin(self) -> None:
        """Starts a new sequence."""

    def forward(self, tokens: Sequence[int]) -> Ints:
        """Logits [vocab] after the last of `tokens`."""


class Choice:
    """Chooses the tokens that follow a prompt until `steps` tokens stand after BOS.

    As in llama2.c, steps counts the prompt's tokens too, and a token of `stops` ends the text.
    ended: whether one has.
    """

    def __init__(
        self,
        prompt: int,
        steps: int,
        sampler: Sampler,
        logit_exponent: int,
        stops: Container[int] = (BOS, EOS),
    ) -> None:
        """prompt: its tokens, BOS included. Raises ValueError where it leaves no step."""
        if prompt > steps:
            raise ValueError(f"{steps} steps for a prompt of {prompt} tokens")
        self._count, self._steps, self._stops, self._sampler = prompt, steps, stops, sampler
        self._scale = 2.0**-logit_exponent if sampler.temperature else 1
        self.ended = False

    @property
    def is_full(self) -> bool:
        """Whether all steps are taken."""
        return self._count > self._steps

    def next_token(self, logits: Ints) -> int | None:
        """What is chosen from logits [vocab]; None where that ends the text."""
        token = self._sampler.choose(logits * self._scale)
        if token in self._stops:
            self.ended = True
            return None
        self._count += 1
        return token


def generated(model: Forward, prompt: Sequence[int], choice: Choice) -> Iterator[int]:
    """Tokens that follow `prompt`, which begins with BOS."""
    model.begin()
    tokens = list(prompt)
    while (token := choice.next_token(model.forward(tokens))) is not None:
        yield token
        if choice.is_full:
            return
        tokens = [token]
