"""What quantization costs a model: perplexity and agreement, in integers against floats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from host.model.float_model import FloatModel
from host.model.quantized import QuantizedModel
from host.model.reference import Reference


@dataclass(frozen=True)
class Quality:
    """Over the same tokens; agreement: how often both find the same token likeliest, 0 to 1."""

    float_perplexity: float
    quantized_perplexity: float
    agreement: float
    predictions: int

    @property
    def change(self) -> float:
        """By how much perplexity rises through quantization, as a fraction."""
        return self.quantized_perplexity / self.float_perplexity - 1


def measure_quality(
    model: FloatModel,
    quantized: QuantizedModel,
    sequences: npt.NDArray[np.int64],
    advance: Callable[[], object],
) -> Quality:
    """Measures `quantized` against `model`, predicting each next token of `sequences` [n, length].

    Both step through all sequences at once, so that no more than one position's logits are held.
    advance: called after each of the length - 1 positions.
    """
    count, length = sequences.shape
    cache, reference = model.new_cache(count, length), Reference(quantized, count, length)
    surprise, found_surprise, agreeing = 0.0, 0.0, 0
    for position in range(length - 1):
        tokens, targets = sequences[:, position], sequences[:, position + 1]
        logits = model.step(tokens, cache)
        found = reference.step(tokens) * 2.0**-quantized.logit_exponent
        surprise += _sum_surprise(logits, targets)
        found_surprise += _sum_surprise(found, targets)
        agreeing += int((logits.argmax(axis=1) == found.argmax(axis=1)).sum())
        advance()
    predictions = count * (length - 1)
    return Quality(
        float_perplexity=float(np.exp(surprise / predictions)),
        quantized_perplexity=float(np.exp(found_surprise / predictions)),
        agreement=agreeing / predictions,
        predictions=predictions,
    )


def _sum_surprise(logits: npt.NDArray[np.floating[Any]], targets: npt.NDArray[np.int64]) -> float:
    """Returns the sum of -log probability of each sequence's target; logits [n, vocab]."""
    peak = logits.max(axis=1)
    log_sum = peak + np.log(np.exp(logits - peak[:, None]).sum(axis=1))
    return float((log_sum - logits[np.arange(len(targets)), targets]).sum())
