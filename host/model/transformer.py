"""The host's half of a forward pass: embedding, residual stream, norms and rescaling.

What chips do, the sums of products with sharded weights, comes in through the protocol `Sums`: the
reference computes them in numpy, an executor asks its chips. All else is the same code.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from host.model import arithmetic
from host.model.arithmetic import Ints
from host.model.quantized import QuantizedModel


class Sums(Protocol):
    """Matrix work on normalized activations x [n, dim] of n rows.

    The rows are n positions of one sequence, or one position of n sequences: that is between
    the caller of `final_activation` and whoever implements this.
    """

    def attention(self, layer: int, x: Ints) -> Ints:
        """Returns accumulators [n, dim] of a layer's attention output projection."""

    def feed_forward(self, layer: int, x: Ints) -> Ints:
        """Returns accumulators [n, dim] of a layer's down projection."""


def final_activation(model: QuantizedModel, tokens: ArrayLike, sums: Sums) -> Ints:
    """Runs n tokens through all layers; returns the input of the classifier [n, dim]."""
    residual = model.embedding[np.asarray(tokens)].astype(np.int64)
    for index, layer in enumerate(model.layers):
        x = arithmetic.rms_normalize(residual, layer.attention_gain, layer.attention_limit)
        accumulator = sums.attention(index, x)
        residual = layer.add_attention(residual, accumulator)
        x = arithmetic.rms_normalize(residual, layer.feed_forward_gain, layer.feed_forward_limit)
        accumulator = sums.feed_forward(index, x)
        residual = layer.add_feed_forward(residual, accumulator)
    return arithmetic.rms_normalize(residual, model.final_gain, model.final_limit)
