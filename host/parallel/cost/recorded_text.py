"""Records a short text that a model generates, with the values in its layers, for all plans."""

from __future__ import annotations

import numpy as np

from host.model.arithmetic import Ints
from host.model.quantized import QuantizedModel
from host.model.reference import Reference
from host.model.tokenizers.bpe import BOS

# Sums do not get wider with the position, so a short text is enough.
TYPICAL_TOKENS = 16


class RecordedText:
    """Runs the model on the most probable tokens after BOS, as many as requested, and keeps the
    values that each computed, so that none is run twice.

    Arithmetic is exact: the activations of heads and units, and the residual stream, do not depend
    on which chip computes them. So one recording serves all plans of a model, and each plan takes
    the columns of its chips.
    """

    def __init__(self, model: QuantizedModel) -> None:
        self.model = model
        self._recorder = _Recorder(model)
        self._token = BOS

    def record(self, tokens: int) -> None:
        """Runs `tokens` tokens in all, at most TYPICAL_TOKENS and the model's context."""
        while self._recorder.position < tokens:
            self._token = int(self._recorder.step([self._token])[0].argmax())

    def means(self, layer: int, tokens: int) -> Ints:
        """Returns the means of all heads of a layer, [tokens, heads * head_dim]."""
        return np.concatenate(self._recorder.means[layer][:tokens])

    def hidden(self, layer: int, tokens: int) -> Ints:
        """Returns the activations of a layer's feed-forward units, [tokens, hidden_dim]."""
        return np.concatenate(self._recorder.hidden[layer][:tokens])

    def residual(self, index: int, tokens: int) -> Ints:
        """Returns the residual stream [tokens, dim]; index: 0 for the embeddings, 1 + 2 * layer
        for after its attention, 2 + 2 * layer for after its feed-forward network."""
        return np.concatenate(self._recorder.residuals[index][:tokens])


class _Recorder(Reference):
    """The reference model, which keeps intermediate values."""

    def __init__(self, model: QuantizedModel) -> None:
        super().__init__(model, context=min(TYPICAL_TOKENS, model.config.context))
        layers = range(model.config.layers)
        self.means: list[list[Ints]] = [[] for _ in layers]
        self.hidden: list[list[Ints]] = [[] for _ in layers]
        self.residuals: list[list[Ints]] = [[] for _ in range(1 + 2 * len(layers))]

    def step(self, tokens: list[int]) -> Ints:  # type: ignore[override]
        self.residuals[0].append(self.model.embedding[tokens].astype(np.int64))
        return super().step(tokens)

    def heads(self, index: int, x: Ints) -> Ints:
        self.means[index].append(super().heads(index, x))
        return self.means[index][-1]

    def units(self, index: int, x: Ints) -> Ints:
        self.hidden[index].append(super().units(index, x))
        return self.hidden[index][-1]

    def attention(self, index: int, x: Ints) -> Ints:
        total = super().attention(index, x)
        before, after = self.residuals[2 * index : 2 * index + 2]
        after.append(self.model.layers[index].add_attention(before[-1], total))
        return total

    def feed_forward(self, index: int, x: Ints) -> Ints:
        total = super().feed_forward(index, x)
        before, after = self.residuals[2 * index + 1 : 2 * index + 3]
        after.append(self.model.layers[index].add_feed_forward(before[-1], total))
        return total
