"""Choosing the next token from logits: greedy, temperature, top-p (nucleus)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from protocol.messages import MOST_CANDIDATES

# Tokens beyond which a vocabulary is large. Then chips name the MOST_CANDIDATES most probable of
# their rows, not the logits of all; and so a token is drawn among so many of the whole vocabulary,
# wherever its logits come from: the text is the same on any number of chips, and without.
LARGE_VOCABULARY = 4096


def count_candidates(vocab_size: int) -> int:
    """Returns among how many of the most probable tokens of a vocabulary one is drawn at most, 0
    if it is among all."""
    return MOST_CANDIDATES if vocab_size > LARGE_VOCABULARY else 0


def list_candidates(logits: npt.NDArray[Any], count: int) -> npt.NDArray[np.intp]:
    """Returns the `count` tokens of the largest of logits [vocab], the largest first, and of equal
    ones the lowest first."""
    least = np.partition(logits, len(logits) - count)[len(logits) - count]
    found = np.flatnonzero(logits >= least)
    return found[np.argsort(-logits[found], kind="stable")][:count]


def softmax(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns probabilities over the last axis; scores of -inf get 0."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


class Sampler:
    """Chooses tokens; the same arguments and logits give the same tokens.

    temperature 0 takes the most probable token, the lowest one among equals. Above 0, tokens are
    drawn with probability softmax(logits / temperature), and `top_p` below 1 draws only from the
    smallest set of most probable tokens whose probabilities sum to more than it (Holtzman et al.,
    "The Curious Case of Neural Text Degeneration", 2020), as llama2.c does. `top_k` above 0 draws
    from that many of the most probable ones at most (Fan et al., "Hierarchical Neural Story
    Generation", 2018), before `top_p` is looked at. Of a large vocabulary (see count_candidates)
    it is at most MOST_CANDIDATES, whatever it is set to.

    Raises ValueError, a line for the user, for arguments out of range.
    """

    def __init__(
        self, temperature: float = 0.0, top_p: float = 1.0, seed: int = 0, top_k: int = 0
    ) -> None:
        if not (math.isfinite(temperature) and temperature >= 0):
            raise ValueError(f"temperature must be 0 or more, got {temperature}")
        if not 0 < top_p <= 1:
            raise ValueError(f"top-p must be in (0, 1], got {top_p}")
        if seed < 0:
            raise ValueError(f"seed must be 0 or more, got {seed}")
        if top_k < 0:
            raise ValueError(f"top-k must be 0 or more, got {top_k}")
        self.temperature = temperature
        self.top_p, self.top_k = top_p, top_k
        self._random = np.random.default_rng(seed)

    def choose(self, logits: npt.NDArray[Any]) -> int:
        """Chooses the next token for `logits` [vocab].

        Greedy takes integers at any scale; with a temperature, logits must be in natural
        units (multiply fixed-point ones by their scale first).
        """
        if self.temperature == 0:
            return int(np.argmax(logits))
        if most := count_candidates(len(logits)):
            tokens = list_candidates(logits, most)
            return int(tokens[self._draw(logits[tokens], self.top_k or most)])
        return self._draw(logits, self.top_k)

    def _draw(self, logits: npt.NDArray[Any], top_k: int) -> int:
        below = logits.astype(np.float64) - logits.max()
        with np.errstate(over="ignore"):  # -inf, which gets 0, at the lowest temperatures
            probabilities = softmax(below / self.temperature)
        tokens = self._nucleus(probabilities, top_k)
        cumulative = np.cumsum(probabilities[tokens])
        # Drawing below the sum, not below 1, renormalizes the nucleus and absorbs rounding.
        drawn = np.searchsorted(cumulative, self._random.random() * cumulative[-1], side="right")
        return int(tokens[min(int(drawn), len(tokens) - 1)])

    def _nucleus(
        self, probabilities: npt.NDArray[np.float64], top_k: int
    ) -> npt.NDArray[np.intp]:
        """Returns the tokens to draw from, the most probable first."""
        if self.top_p == 1 and not top_k:
            return np.arange(len(probabilities))
        order = np.argsort(-probabilities, kind="stable")
        if top_k:
            order = order[:top_k]
            if self.top_p == 1:
                return order
        cumulative = np.cumsum(probabilities[order])
        beyond = cumulative > self.top_p * (cumulative[-1] if top_k else 1)
        # Rounding may leave the whole sum at or below top_p; then every token stays.
        count = int(np.argmax(beyond)) + 1 if beyond.any() else len(order)
        return order[:count]
