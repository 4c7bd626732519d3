"""Calibration and quantization: a float checkpoint becomes a `QuantizedModel` (W8A16).

Weights: int8, symmetric, one scale per output row. Activations: static scales from the largest
magnitudes that calibration sequences reach, with `HEADROOM` to spare; beyond that they saturate.
Every limit that keeps the integer arithmetic within 32 bits is taken here, once, from
the model's real weights; `arithmetic.py` states what each is for.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host.model import arithmetic
from host.model.arithmetic import ACCUMULATOR_LIMIT, INT16_LIMIT, Gain, Rescale
from host.model.checkpoint import Checkpoint, ModelError
from host.model.float_model import FloatModel
from host.model.quantized import Linear, QuantizedLayer, QuantizedModel
from host.model.ranges import Ranges

HEADROOM = 2.0
RESIDUAL_HEADROOM = 4.0  # the residual has bits to spare and cannot be allowed to clip
CALIBRATION_SEQUENCES, CALIBRATION_LENGTH, CALIBRATION_SEED = 16, 128, 0

Floats = NDArray[np.float64]


def quantized(checkpoint: Checkpoint, ranges: Ranges | None = None) -> QuantizedModel:
    """The checkpoint in integers, calibrated on `ranges` or else on text that it samples itself.

    Raises ModelError where no scale keeps the arithmetic within 32 bits.
    """
    model = FloatModel(checkpoint)
    if ranges is None:
        length = min(CALIBRATION_LENGTH, checkpoint.config.context)
        sequences = model.sampled_sequences(CALIBRATION_SEQUENCES, length, CALIBRATION_SEED)
        ranges = model.activation_ranges(sequences)
    return _Quantizer(checkpoint, ranges).model()


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
    largest = float(factors.max())
    if largest >= 0.5:
        raise ModelError(
            f"weights too large to quantize: rescaling factor {largest:.3g} exceeds 0.5"
        )
    shift = min(max(14 - _floor_log2(max(largest, 1e-30)), 16), 45)
    multiplier = np.minimum(np.round(factors * 2.0**shift), INT16_LIMIT)
    return Rescale(multiplier.astype(np.int64), shift)


def _floor_log2(value: float) -> int:
    return math.frexp(value)[1] - 1


def _exponent(largest: float, limit: int, headroom: float = HEADROOM) -> int:
    """The finest power-of-two scale at which headroom * largest stays within limit."""
    return _floor_log2(limit / (headroom * max(float(largest), 1e-9)))


class _Quantizer:
    def __init__(self, checkpoint: Checkpoint, ranges: Ranges) -> None:
        self.checkpoint, self.config, self.ranges = checkpoint, checkpoint.config, ranges
        layers = range(self.config.layers)
        self.o = [_Rows(checkpoint.wo[i]) for i in layers]
        self.down = [_Rows(checkpoint.w2[i]) for i in layers]
        self.v_limits = [rows.input_limit() for rows in self.o]
        self.hidden_limits = [rows.input_limit() for rows in self.down]
        self.v_exponents = [_exponent(ranges.v[i], self.v_limits[i]) for i in layers]
        self.hidden_exponents = [
            _exponent(ranges.hidden[i], self.hidden_limits[i]) for i in layers
        ]
        self.residual_exponent = self._residual_exponent()

    def _residual_exponent(self) -> int:
        into = [(rows, e) for rows, e in zip(self.o, self.v_exponents, strict=True)]
        into += [(rows, e) for rows, e in zip(self.down, self.hidden_exponents, strict=True)]
        epsilon = self.config.dim * self.config.norm_eps
        return min(
            _exponent(self.ranges.residual, arithmetic.RESIDUAL_LIMIT, RESIDUAL_HEADROOM),
            _floor_log2(2.0**29 / epsilon) // 2,  # keeps Gain.epsilon below 2**30
            *(rows.highest_exponent(exponent) for rows, exponent in into),
        )

    def model(self) -> QuantizedModel:
        config, checkpoint = self.config, self.checkpoint
        classifier = _Rows(checkpoint.classifier)
        limit = classifier.input_limit()
        gain, exponent = self._gain(checkpoint.final_norm, self.ranges.final, limit)
        logit_exponent = min(
            _exponent(self.ranges.logits, INT16_LIMIT), classifier.highest_exponent(exponent)
        )
        embedding = np.round(checkpoint.embedding.astype(np.float64) * 2.0**self.residual_exponent)
        return QuantizedModel(
            config=config,
            residual_exponent=self.residual_exponent,
            embedding=np.clip(
                embedding, -arithmetic.RESIDUAL_LIMIT, arithmetic.RESIDUAL_LIMIT
            ).astype(np.int32),
            layers=tuple(self._layer(i) for i in range(config.layers)),
            final_gain=gain,
            final_limit=limit,
            classifier=classifier.linear(exponent, 2.0**-logit_exponent),
            logit_exponent=logit_exponent,
            rope_steps=arithmetic.rope_steps(config.head_dim, config.rope_theta),
        )

    def _gain(self, weight: NDArray[np.float32], largest: float, limit: int) -> tuple[Gain, int]:
        """An RMSNorm's gain, and the exponent of its output.

        output = normalized * multiplier >> (shift - doublings), see arithmetic.rms_normalized;
        there, normalized = real * 2**14 / sqrt(dim / 2**L) / 2**doublings.
        """
        dim = self.config.dim
        correction = math.sqrt(dim / (1 << (dim - 1).bit_length()))
        base = weight.astype(np.float64) * correction * 2.0**-14
        top = max(float(np.abs(base).max()), 1e-30)
        exponent = min(_exponent(largest, limit), _floor_log2(0.99 / top))
        shift = min(max(14 - _floor_log2(top * 2.0**exponent), 15), 29)
        multiplier = np.clip(np.round(base * 2.0 ** (exponent + shift)), -INT16_LIMIT, INT16_LIMIT)
        epsilon = round(dim * self.config.norm_eps * 4.0**self.residual_exponent)
        return Gain(multiplier.astype(np.int64), shift, epsilon), exponent

    def _layer(self, index: int) -> QuantizedLayer:
        return QuantizedLayer(**self._attention(index), **self._feed_forward(index))

    def _attention(self, index: int) -> dict[str, Any]:
        checkpoint, ranges = self.checkpoint, self.ranges
        q, k, v = (_Rows(w[index]) for w in (checkpoint.wq, checkpoint.wk, checkpoint.wv))
        limit = min(rows.input_limit() for rows in (q, k, v))
        gain, exponent = self._gain(
            checkpoint.attention_norm[index], ranges.attention_input[index], limit
        )
        q_limit, k_limit = score_limits(self.config.head_dim)
        k_exponent = min(
            _exponent(max(ranges.k[index], ranges.rotated_k[index]), k_limit),
            k.highest_exponent(exponent),
        )
        # Scores come out as base-2 exponents with `fraction` fractional bits: 1 / sqrt(head_dim)
        # and log2(e) are part of q's scale, so that the exp table is indexed by a shift alone.
        factor = math.log2(math.e) / math.sqrt(self.config.head_dim) * 2.0**-k_exponent
        fraction = min(
            _exponent(max(ranges.q[index], ranges.rotated_q[index]) * factor, q_limit),
            _floor_log2(0.49 / (max(float(q.scale.max()), 1e-30) * 2.0**-exponent * factor)),
        )
        if fraction < arithmetic.EXP_FRACTION_BITS:
            raise ModelError(f"layer {index}: attention scores too large to quantize")
        fraction = min(fraction, arithmetic.EXP_FRACTION_BITS + 30)
        v_exponent = min(self.v_exponents[index], v.highest_exponent(exponent))
        return {
            "attention_gain": gain,
            "attention_limit": limit,
            "q": q.linear(exponent, 1 / (factor * 2.0**fraction)),
            "k": k.linear(exponent, 2.0**-k_exponent),
            "v": v.linear(exponent, 2.0**-v_exponent),
            "q_limit": q_limit,
            "k_limit": k_limit,
            "v_limit": self.v_limits[index],
            "score_shift": fraction - arithmetic.EXP_FRACTION_BITS,
            "o": self.o[index].linear(v_exponent, 2.0**-self.residual_exponent),
        }

    def _feed_forward(self, index: int) -> dict[str, Any]:
        checkpoint, ranges = self.checkpoint, self.ranges
        gate, up = _Rows(checkpoint.w1[index]), _Rows(checkpoint.w3[index])
        limit = min(gate.input_limit(), up.input_limit())
        gain, exponent = self._gain(checkpoint.ffn_norm[index], ranges.ffn_input[index], limit)
        gate_exponent = min(
            max(_exponent(ranges.gate[index], INT16_LIMIT), arithmetic.SIGMOID_STEP_BITS),
            gate.highest_exponent(exponent),
        )
        up_exponent = min(_exponent(ranges.up[index], INT16_LIMIT), up.highest_exponent(exponent))
        hidden_exponent = min(self.hidden_exponents[index], gate_exponent + up_exponent - 1)
        if gate_exponent < arithmetic.SIGMOID_STEP_BITS:
            raise ModelError(f"layer {index}: gate activations too large to quantize")
        return {
            "feed_forward_gain": gain,
            "feed_forward_limit": limit,
            "gate": gate.linear(exponent, 2.0**-gate_exponent),
            "up": up.linear(exponent, 2.0**-up_exponent),
            "index_shift": gate_exponent - arithmetic.SIGMOID_STEP_BITS,
            "product_shift": min(gate_exponent + up_exponent - hidden_exponent, 30),
            "hidden_limit": self.hidden_limits[index],
            "down": self.down[index].linear(hidden_exponent, 2.0**-self.residual_exponent),
        }


def score_limits(head_dim: int) -> tuple[int, int]:
    """Saturation bounds of q and k.

    Their bits add up to 32 - log2(head_dim), so that |q.k| < 2**30 and the difference of two
    scores still fits 32 bits.
    """
    bits = 32 - (head_dim - 1).bit_length()
    q_bits = min(bits // 2, 16)
    return (1 << (q_bits - 1)) - 1, (1 << (min(bits - q_bits, 16) - 1)) - 1
