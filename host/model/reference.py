"""The reference: a quantized forward pass in numpy, which clusters equal to the bit.

Together with `arithmetic.py` this is the specification of what chips and host compute. It runs a
batch of sequences at once, position by position, with the KV cache in the open.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from host.model import arithmetic
from host.model.arithmetic import INT16_LIMIT, Gain, Ints
from host.model.quantized import QuantizedModel
from host.model.transformer import final_activation


class Reference:
    """Runs `batch` sequences of at most `context` positions; `step` advances all by a token."""

    def __init__(self, model: QuantizedModel, batch: int = 1, context: int | None = None) -> None:
        config = model.config
        self.model, self.position = model, 0
        self.context = context or config.context
        shape = (config.layers, batch, config.kv_heads, self.context, config.head_dim)
        self.keys, self.values = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self._rope = arithmetic.rope_table(model.rope_steps, self.context)
        self._exp, self._sigmoid = arithmetic.exp_table(), arithmetic.sigmoid_table()

    def step(self, tokens: ArrayLike) -> Ints:
        """Runs one more token of each sequence [batch]; returns int16 logits [batch, vocab]."""
        x = final_activation(self.model, tokens, self)
        self.position += 1
        classifier = self.model.classifier
        return arithmetic.saturate(
            arithmetic.rescale(classifier.product(x), classifier.rescale), INT16_LIMIT
        )

    def logits(self, tokens: ArrayLike) -> Ints:
        """Returns teacher-forced logits [batch, length, vocab] for token ids [batch, length]."""
        return np.stack([self.step(column) for column in np.asarray(tokens).T], axis=1)

    def attention(self, index: int, x: Ints) -> Ints:
        """Returns accumulators [batch, dim] of the output projection, at the current position."""
        return self.model.layers[index].o.product(self.heads(index, x))

    def heads(self, index: int, x: Ints) -> Ints:
        """Returns what the heads give [batch, heads * head_dim], at the current position, whose
        keys and values join the caches."""
        layer, config = self.model.layers[index], self.model.config
        now, past = self.position, self.position + 1
        cosine, sine = arithmetic.rope_row(self._rope, now)

        def heads(name: str, limit: int) -> Ints:
            linear = getattr(layer, name)
            rows = arithmetic.rescale(linear.product(x), linear.rescale)
            return arithmetic.saturate(rows, limit).reshape(len(x), -1, config.head_dim)

        def turned(name: str, gain: Gain | None, limit: int) -> Ints:
            found = heads(name, INT16_LIMIT if gain else limit)
            if gain:
                found = arithmetic.rms_normalize(found, gain, limit)
            return arithmetic.rotate(found, cosine, sine, limit)

        q = turned("q", layer.q_norm, layer.q_limit)
        k, v = turned("k", layer.k_norm, layer.k_limit), heads("v", layer.v_limit)
        if config.int8_kv:
            k, v = arithmetic.narrow_rows(k), arithmetic.narrow_rows(v)
        self.keys[index, :, :, now], self.values[index, :, :, now] = k, v
        # Query heads that share a KV head are neighbours: [batch, kv_heads, group, head_dim].
        q = q.reshape(len(x), config.kv_heads, -1, config.head_dim)
        keys, values = self.keys[index, :, :, None, :past], self.values[index, :, :, None, :past]
        scores = (keys @ q[..., None])[..., 0]
        weights = arithmetic.attention_weights(scores, layer.score_shift, self._exp)
        return arithmetic.weighted_mean(weights, values).reshape(len(x), -1)

    def feed_forward(self, index: int, x: Ints) -> Ints:
        """Returns accumulators [batch, dim] of the down projection."""
        return self.model.layers[index].down.product(self.units(index, x))

    def units(self, index: int, x: Ints) -> Ints:
        """Returns what the feed-forward units give [batch, hidden_dim]."""
        layer = self.model.layers[index]
        gate, up = (
            arithmetic.saturate(arithmetic.rescale(linear.product(x), linear.rescale), INT16_LIMIT)
            for linear in (layer.gate, layer.up)
        )
        return arithmetic.swiglu(
            gate, up, layer.index_shift, layer.product_shift, self._sigmoid, layer.hidden_limit
        )
