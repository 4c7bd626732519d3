"""Calibration and quantization: a float checkpoint becomes a `QuantizedModel` (W8A16).

Weights: int8, symmetric, one scale per output row. Activations: static scales from the largest
magnitudes that calibration sequences reach, with `HEADROOM` to spare; beyond that they saturate.
Every limit that keeps the integer arithmetic within 32 bits is taken here, once, from
the model's real weights; `arithmetic.py` states what each is for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from host.errors import ModelError
from host.model import arithmetic
from host.model.arithmetic import INT16_LIMIT, RESIDUAL_LIMIT, Gain
from host.model.float_model import FloatModel
from host.model.float_text import sample_sequences
from host.model.float_weights import FloatWeights
from host.model.quantization.layers import Attention, FeedForward
from host.model.quantization.rows import ModelRows, round_layer
from host.model.quantization.scales import (
    Rows,
    choose_exponent,
    choose_norm_exponent,
    iterate_blocks,
    make_gain,
)
from host.model.quantization.stream import choose_stream, fit_stream
from host.model.quantized import QuantizedLayer, QuantizedModel
from host.model.ranges import Ranges
from host.model.tokenizers.bpe import BOS

CALIBRATION_SEQUENCES, CALIBRATION_LENGTH, CALIBRATION_SEED = 16, 128, 0


def quantize(
    weights: FloatWeights,
    ranges: Ranges | None = None,
    rows: ModelRows | None = None,
    advance: Callable[[], object] = lambda: None,
) -> QuantizedModel:
    """Quantizes a model, calibrated on `ranges` or else on text that it samples itself.

    Layer by layer, each of which is read once; rows: its matrices, where they are rounded already;
    advance: called after each layer. Raises ModelError if no scale keeps the arithmetic within
    32 bits.
    """
    if ranges is None:
        model = FloatModel(weights)
        ranges = model.measure_ranges(sample_calibration(model))
    return _Quantizer(weights, ranges, rows, advance).make_model()


def sample_calibration(
    model: FloatModel,
    bos: int = BOS,
    seed: int = CALIBRATION_SEED,
    advance: Callable[[], object] = lambda: None,
) -> NDArray[np.int64]:
    """Samples tokens [sequences, length] from the model itself, to calibrate on; advance: called
    after each of length - 1 positions."""
    length = min(CALIBRATION_LENGTH, model.config.context)
    return sample_sequences(model, CALIBRATION_SEQUENCES, length, seed, bos, advance)


class _Quantizer:
    def __init__(
        self,
        weights: FloatWeights,
        ranges: Ranges,
        rows: ModelRows | None,
        advance: Callable[[], object],
    ) -> None:
        self.weights, self.config, self.ranges, self.rows = weights, weights.config, ranges, rows
        wanted = choose_stream(self.config, ranges)
        self.attention, self.feed_forward = [], []
        for index in range(self.config.layers):
            layer = weights.layer(index)
            layer_rows = rows.layers[index] if rows else round_layer(layer)
            self.attention.append(Attention(layer, layer_rows, self.config, ranges, index))
            self.feed_forward.append(
                FeedForward(layer, layer_rows, ranges, index, wanted[2 + 2 * index])
            )
            advance()
        bounds = [wanted[0]]
        for attention, network in zip(self.attention, self.feed_forward, strict=True):
            bounds += attention.highest_residual_exponent(), network.highest_residual_exponent()
        # Of the embedding, and after each sum.
        self.stream = fit_stream(wanted, bounds)

    def make_model(self) -> QuantizedModel:
        classifier = self.rows.classifier if self.rows else Rows(self.weights.classifier)
        final_norm = self.weights.final_norm
        final_limit = classifier.input_limit()
        exponent = choose_norm_exponent(final_norm, self.ranges.final, final_limit)
        logit_exponent = min(
            choose_exponent(self.ranges.logits, INT16_LIMIT), classifier.highest_exponent(exponent)
        )
        if logit_exponent < 0:
            raise ModelError("logits too large to quantize")
        groups = " ".join(sorted(self.rows.grouped)) if self.rows else ""
        return QuantizedModel(
            config=replace(self.config, groups=groups or None),
            residual_exponent=self.stream[0],
            embedding=_round_embedding(self.weights.embedding, self.stream[0]),
            layers=tuple(map(self._make_layer, range(self.config.layers))),
            final_gain=self._make_gain(final_norm, exponent, self.stream[-1]),
            final_limit=final_limit,
            classifier=classifier.make_linear(exponent, 2.0**-logit_exponent),
            logit_exponent=logit_exponent,
            rope_steps=arithmetic.rope_steps(self.config.head_dim, self.config.rope_theta),
        )

    def _make_gain(self, weight: NDArray[np.float32], exponent: int, stream: int) -> Gain:
        """Returns the gain of a norm of the stream at 2**-stream, whose outputs are at
        2**-exponent."""
        epsilon = self.config.dim * self.config.norm_eps * 4.0**stream
        return make_gain(weight, 2.0**-exponent, round(epsilon))

    def _make_layer(self, index: int) -> QuantizedLayer:
        attention, feed_forward = self.attention[index], self.feed_forward[index]
        before, between, after = self.stream[2 * index : 2 * index + 3]
        gate, up = feed_forward.gate_exponent, feed_forward.up_exponent
        return QuantizedLayer(
            attention_gain=self._make_gain(attention.norm, attention.exponent, before),
            attention_limit=attention.limit,
            q=attention.q.make_linear(attention.exponent, attention.units[0]),
            k=attention.k.make_linear(attention.exponent, attention.units[1]),
            v=attention.v.make_linear(attention.exponent, 2.0**-attention.v_exponent),
            q_limit=attention.q_limit,
            k_limit=attention.k_limit,
            v_limit=attention.v_limit,
            score_shift=attention.score_shift,
            o=attention.o.make_linear(attention.v_exponent, 2.0**-between),
            feed_forward_gain=self._make_gain(feed_forward.norm, feed_forward.exponent, between),
            feed_forward_limit=feed_forward.limit,
            gate=feed_forward.gate.make_linear(feed_forward.exponent, 2.0**-gate),
            up=feed_forward.up.make_linear(feed_forward.exponent, 2.0**-up),
            index_shift=gate - arithmetic.SIGMOID_STEP_BITS,
            product_shift=gate + up - feed_forward.hidden_exponent,
            hidden_limit=feed_forward.hidden_limit,
            down=feed_forward.down.make_linear(feed_forward.hidden_exponent, 2.0**-after),
            q_norm=attention.gains[0],
            k_norm=attention.gains[1],
            o_drop=before - between or None,
            down_drop=between - after or None,
        )


def _round_embedding(embedding: NDArray[np.float32], exponent: int) -> NDArray[np.int32]:
    """Returns rows of tokens in units of the residual stream, 2**-exponent."""
    rounded = np.empty(embedding.shape, np.int32)
    for rows in iterate_blocks(embedding):
        scaled = np.round(embedding[rows].astype(np.float64) * 2.0**exponent)
        rounded[rows] = np.clip(scaled, -RESIDUAL_LIMIT, RESIDUAL_LIMIT)
    return rounded
