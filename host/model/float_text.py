"""Generates texts with a model in floats, many at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from host.model.float_model import FloatModel
from host.model.sampling import softmax
from host.model.tokenizers.bpe import BOS


def sample_sequences(
    model: FloatModel,
    count: int,
    length: int,
    seed: int,
    bos: int = BOS,
    advance: Callable[[], object] = lambda: None,
) -> npt.NDArray[np.int64]:
    """Samples token sequences [count, length] at temperature 1 from BOS on.

    advance: called after each position.
    """
    random = np.random.default_rng(seed)
    cache = model.new_cache(count, length)
    sequences = np.full((count, length), bos)
    for position in range(1, length):
        probabilities = softmax(model.step(sequences[:, position - 1], cache))
        cumulative = probabilities.cumsum(axis=1)
        drawn = random.random((count, 1)) * cumulative[:, -1:]
        sequences[:, position] = (cumulative <= drawn).sum(axis=1)
        advance()
    return sequences


def continue_greedily(
    model: FloatModel,
    beginnings: npt.NDArray[np.int64],
    length: int,
    advance: Callable[[], object] = lambda: None,
) -> npt.NDArray[np.int64]:
    """Returns sequences [count, length] that begin with `beginnings` [count, given] and go on with
    the most probable token each time; advance: called after each position."""
    count, given = beginnings.shape
    cache = model.new_cache(count, length)
    sequences = np.zeros((count, length), np.int64)
    sequences[:, :given] = beginnings[:, :length]
    for position in range(1, length):
        logits = model.step(sequences[:, position - 1], cache)
        if position >= given:
            sequences[:, position] = logits.argmax(axis=1)
        advance()
    return sequences
