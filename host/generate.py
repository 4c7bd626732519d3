"""Generating text: a prompt in, tokens out, whatever runs the model."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Protocol

from host.model.arithmetic import Ints
from host.model.sampling import Sampler
from host.model.tokenizer import BOS, EOS


class Forward(Protocol):
    """What runs the model: a federation."""

    def begin(self) -> None:
        """Starts a new sequence."""

    def forward(self, tokens: Sequence[int]) -> Ints:
        """Logits [vocab] after the last of `tokens`."""


def generated(
    model: Forward,
    prompt: Sequence[int],
    steps: int,
    sampler: Sampler,
    logit_exponent: int,
    stops: Container[int] = (BOS, EOS),
) -> Iterator[int]:
    """Tokens that follow `prompt` (which begins with BOS) until `steps` tokens stand after BOS.

    As in llama2.c, steps counts the prompt's tokens too, and a token of `stops` ends the text.
    Raises ValueError where the prompt leaves no step.
    """
    if len(prompt) > steps:
        raise ValueError(f"{steps} steps for a prompt of {len(prompt)} tokens")
    model.begin()
    scale = 2.0**-logit_exponent if sampler.temperature else 1
    tokens = list(prompt)
    logits = model.forward(tokens)
    while True:
        token = sampler.choose(logits * scale)
        if token in stops:
            return
        yield token
        tokens.append(token)
        if len(tokens) > steps:
            return
        logits = model.forward([token])
