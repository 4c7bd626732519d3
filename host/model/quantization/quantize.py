"""Calibration and quantization: a float checkpoint becomes a `QuantizedModel` (W8A16).

Weights: int8, symmetric, one scale per output row. Activations: static scales from the largest
magnitudes that calibration sequences reach, with `HEADROOM` to spare; beyond that they saturate.
Every limit that keeps the integer arithmetic within 32 bits is taken here, once, from
the model's real weights; `arithmetic.py` states what each is for.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from host.errors import ModelError
from host.model import arithmetic
from host.model.arithmetic import ACCUMULATOR_LIMIT, INT16_LIMIT, Gain, Rescale
from host.model.checkpoint import Checkpoint
from host.model.float_model import FloatModel
from host.model.quantization.ranges import Ranges
from host.model.quantized import Linear, QuantizedLayer, QuantizedModel
from host.model.tokenizers.bpe import BOS

HEADROOM = 2.0
RESIDUAL_HEADROOM = 4.0  # the residual has bits to spare and cannot be allowed to clip
MAX_SHIFT = 30  # of a kernel that adds half of the divisor in 32 bits
CALIBRATION_SEQUENCES, CALIBRATION_LENGTH, CALIBRATION_SEED = 16, 128, 0

Floats = NDArray[np.float64]


def quantize(checkpoint: Checkpoint, ranges: Ranges | None = None) -> QuantizedModel:
    """The checkpoint in integers, calibrated on `ranges` or else on text that it samples itself.

    Raises ModelError where no scale keeps the arithmetic within 32 bits.
    """
    if ranges is None:
        model = FloatModel(checkpoint)
        ranges = model.measure_ranges(sample_calibration(model))
    return _Quantizer(checkpoint, ranges).model()


def sample_calibration(
    model: FloatModel, bos: int = BOS, seed: int = CALIBRATION_SEED
) -> NDArray[np.int64]:
    """Tokens [sequences, length] of text that the model samples itself."""
    length = min(CALIBRATION_LENGTH, model.config.context)
    return model.sample_sequences(CALIBRATION_SEQUENCES, length, seed, bos)


class _Rows:
    """A float matrix [rows, columns] as int8 with a real scale per row."""

    def __init__(self, weight: NDArray[np.float32]) -> None:
        wide = weight.astype(np.float64)
        self.scale = np.abs(wide).max(axis=1) / 127
        safe = np.where(self.scale == 0, 1.0, self.scale)
        self.weight = np.round(wide / safe[:, None]).astype(np.int8)

    def input_limit(self) -> int:
        """The largest input magnitude for which no accumulator passes ACCUMULATOR_LIMIT."""
        largest = int(np.abs(self.weight.astype(np.int64)).sum(axis=1).max())
        return min(INT16_LIMIT, ACCUMULATOR_LIMIT // max(largest, 1))

    def highest_exponent(self, input_exponent: int) -> int:
        """The finest output scale 2**-exponent whose rescaling factors stay below one half."""
        return input_exponent + _floor_log2(0.49 / max(float(self.scale.max()), 1e-30))

    def linear(self, input_exponent: int, output_unit: float) -> Linear:
        """With rescaling from inputs at 2**-input_exponent to outputs in units of output_unit."""
        return Linear(self.weight, _rescale(self.scale * 2.0**-input_exponent / output_unit))


def _rescale(factors: Floats) -> Rescale:
    """For factors below one half, which highest_exponent sees to."""
    shift = min(max(14 - _floor_log2(max(float(factors.max()), 1e-30)), 16), 45)
    multiplier = np.minimum(np.round(factors * 2.0**shift), INT16_LIMIT)
    return Rescale(multiplier.astype(np.int64), shift)


def _floor_log2(value: float) -> int:
    return math.frexp(value)[1] - 1


def _exponent(largest: float, limit: int, headroom: float = HEADROOM) -> int:
    """The finest power-of-two scale at which headroom * largest stays within limit."""
    return _floor_log2(limit / (headroom * max(float(largest), 1e-9)))


def _unit_gain(weight: NDArray[np.float32]) -> Floats:
    """Real multipliers of an RMSNorm whose output is in units of 1.

    output = normalized * multiplier >> (shift - doublings), see arithmetic.rms_normalize;
    there, normalized = real * 2**14 / sqrt(dim / 2**L) / 2**doublings.
    """
    dim = len(weight)
    correction = math.sqrt(dim / (1 << (dim - 1).bit_length()))
    return weight.astype(np.float64) * correction * 2.0**-14


def _norm_exponent(weight: NDArray[np.float32], largest: float, limit: int) -> int:
    """The output scale of an RMSNorm whose outputs reach `largest`."""
    top = max(float(np.abs(_unit_gain(weight)).max()), 1e-30)
    return min(_exponent(largest, limit), _floor_log2(0.99 / top))


class _LayerScales:
    """One layer's integer weights, and the scales of its activations but the residual stream's."""

    def __init__(self, checkpoint: Checkpoint, ranges: Ranges, index: int) -> None:
        self.index, self.ranges, self.head_dim = index, ranges, checkpoint.config.head_dim
        self.attention_norm = checkpoint.attention_norm[index]
        self.q, self.k = _Rows(checkpoint.wq[index]), _Rows(checkpoint.wk[index])
        self.v, self.o = _Rows(checkpoint.wv[index]), _Rows(checkpoint.wo[index])
        self.ffn_norm = checkpoint.ffn_norm[index]
        self.gate, self.up = _Rows(checkpoint.w1[index]), _Rows(checkpoint.w3[index])
        self.down = _Rows(checkpoint.w2[index])
        self._scale_attention()
        self._scale_feed_forward()

    def _scale_attention(self) -> None:
        ranges, index = self.ranges, self.index
        self.attention_limit = min(rows.input_limit() for rows in (self.q, self.k, self.v))
        self.attention_exponent = exponent = _norm_exponent(
            self.attention_norm, ranges.attention_input[index], self.attention_limit
        )
        self.q_limit, self.k_limit = score_limits(self.head_dim)
        self.k_exponent = min(
            _exponent(max(ranges.k[index], ranges.rotated_k[index]), self.k_limit),
            self.k.highest_exponent(exponent),
        )
        # Scores come out as base-2 exponents with `fraction` fractional bits: 1 / sqrt(head_dim)
        # and log2(e) are part of q's scale, so that the exp table is indexed by a shift alone.
        factor = math.log2(math.e) / math.sqrt(self.head_dim) * 2.0**-self.k_exponent
        fraction = min(
            _exponent(max(ranges.q[index], ranges.rotated_q[index]) * factor, self.q_limit),
            _floor_log2(0.49 / (max(float(self.q.scale.max()), 1e-30) * 2.0**-exponent * factor)),
            arithmetic.EXP_FRACTION_BITS + MAX_SHIFT,
        )
        if fraction < arithmetic.EXP_FRACTION_BITS:
            raise ModelError(f"layer {index}: attention scores too large to quantize")
        self.score_shift = fraction - arithmetic.EXP_FRACTION_BITS
        self.q_unit = 1 / (factor * 2.0**fraction)
        self.v_limit = self.o.input_limit()
        self.v_exponent = min(
            _exponent(ranges.v[index], self.v_limit), self.v.highest_exponent(exponent)
        )

    def _scale_feed_forward(self) -> None:
        ranges, index, steps = self.ranges, self.index, arithmetic.SIGMOID_STEP_BITS
        self.feed_forward_limit = min(self.gate.input_limit(), self.up.input_limit())
        self.feed_forward_exponent = exponent = _norm_exponent(
            self.ffn_norm, ranges.ffn_input[index], self.feed_forward_limit
        )
        gate = min(
            max(_exponent(ranges.gate[index], INT16_LIMIT), steps),
            self.gate.highest_exponent(exponent),
            steps + MAX_SHIFT,
        )
        if gate < steps or ranges.gate[index] * 2.0**gate > INT16_LIMIT:
            raise ModelError(f"layer {index}: gate activations too large to quantize")
        up = min(_exponent(ranges.up[index], INT16_LIMIT), self.up.highest_exponent(exponent))
        self.hidden_limit = self.down.input_limit()
        hidden = _exponent(ranges.hidden[index], self.hidden_limit)
        # A product is shifted by 1 to MAX_SHIFT bits.
        self.hidden_exponent = max(min(hidden, gate + up - 1), gate + up - MAX_SHIFT)
        self.gate_exponent, self.up_exponent = gate, up

    def highest_residual_exponent(self) -> int:
        """The finest scale that the layer's sums can be brought to."""
        return min(
            self.o.highest_exponent(self.v_exponent),
            self.down.highest_exponent(self.hidden_exponent),
        )


class _Quantizer:
    def __init__(self, checkpoint: Checkpoint, ranges: Ranges) -> None:
        self.checkpoint, self.config, self.ranges = checkpoint, checkpoint.config, ranges
        self.layers = [_LayerScales(checkpoint, ranges, i) for i in range(self.config.layers)]
        epsilon = max(self.config.dim * self.config.norm_eps, 1e-30)
        self.residual_exponent = min(
            _exponent(ranges.residual, arithmetic.RESIDUAL_LIMIT, RESIDUAL_HEADROOM),
            _floor_log2(2.0**29 / epsilon) // 2,  # keeps Gain.epsilon below 2**30
            *(layer.highest_residual_exponent() for layer in self.layers),
        )

    def model(self) -> QuantizedModel:
        checkpoint, limit = self.checkpoint, arithmetic.RESIDUAL_LIMIT
        classifier = _Rows(checkpoint.classifier)
        final_limit = classifier.input_limit()
        exponent = _norm_exponent(checkpoint.final_norm, self.ranges.final, final_limit)
        logit_exponent = min(
            _exponent(self.ranges.logits, INT16_LIMIT), classifier.highest_exponent(exponent)
        )
        if logit_exponent < 0:
            raise ModelError("logits too large to quantize")
        embedding = np.round(checkpoint.embedding.astype(np.float64) * 2.0**self.residual_exponent)
        return QuantizedModel(
            config=self.config,
            residual_exponent=self.residual_exponent,
            embedding=np.clip(embedding, -limit, limit).astype(np.int32),
            layers=tuple(self._layer(layer) for layer in self.layers),
            final_gain=self._gain(checkpoint.final_norm, exponent),
            final_limit=final_limit,
            classifier=classifier.linear(exponent, 2.0**-logit_exponent),
            logit_exponent=logit_exponent,
            rope_steps=arithmetic.rope_steps(self.config.head_dim, self.config.rope_theta),
        )

    def _gain(self, weight: NDArray[np.float32], exponent: int) -> Gain:
        """An RMSNorm's gain for outputs at 2**-exponent, as _norm_exponent gives it."""
        base = _unit_gain(weight) * 2.0**exponent
        shift = min(max(14 - _floor_log2(max(float(np.abs(base).max()), 1e-30)), 15), 29)
        multiplier = np.clip(np.round(base * 2.0**shift), -INT16_LIMIT, INT16_LIMIT)
        epsilon = self.config.dim * self.config.norm_eps * 4.0**self.residual_exponent
        return Gain(multiplier.astype(np.int64), shift, round(epsilon))

    def _layer(self, layer: _LayerScales) -> QuantizedLayer:
        attention, feed_forward = layer.attention_exponent, layer.feed_forward_exponent
        residual_unit = 2.0**-self.residual_exponent
        return QuantizedLayer(
            attention_gain=self._gain(layer.attention_norm, attention),
            attention_limit=layer.attention_limit,
            q=layer.q.linear(attention, layer.q_unit),
            k=layer.k.linear(attention, 2.0**-layer.k_exponent),
            v=layer.v.linear(attention, 2.0**-layer.v_exponent),
            q_limit=layer.q_limit,
            k_limit=layer.k_limit,
            v_limit=layer.v_limit,
            score_shift=layer.score_shift,
            o=layer.o.linear(layer.v_exponent, residual_unit),
            feed_forward_gain=self._gain(layer.ffn_norm, feed_forward),
            feed_forward_limit=layer.feed_forward_limit,
            gate=layer.gate.linear(feed_forward, 2.0**-layer.gate_exponent),
            up=layer.up.linear(feed_forward, 2.0**-layer.up_exponent),
            index_shift=layer.gate_exponent - arithmetic.SIGMOID_STEP_BITS,
            product_shift=layer.gate_exponent + layer.up_exponent - layer.hidden_exponent,
            hidden_limit=layer.hidden_limit,
            down=layer.down.linear(layer.hidden_exponent, residual_unit),
        )


def score_limits(head_dim: int) -> tuple[int, int]:
    """Saturation bounds of q and k.

    Their bits add up to 32 - log2(head_dim), so that |q.k| < 2**30 and the difference of two
    scores still fits 32 bits.
    """
    bits = 32 - (head_dim - 1).bit_length()
    q_bits = min(bits // 2, 16)
    return (1 << (q_bits - 1)) - 1, (1 << (min(bits - q_bits, 16) - 1)) - 1
