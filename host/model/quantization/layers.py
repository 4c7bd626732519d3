"""The scales of one layer's activations, and its integer weights: attention and feed-forward."""

from __future__ import annotations

import math

from host.errors import ModelError
from host.model import arithmetic
from host.model.arithmetic import INT16_LIMIT, Gain
from host.model.checkpoint import Config, FloatArray
from host.model.float_weights import LayerWeights
from host.model.quantization.rows import LayerRows
from host.model.quantization.scales import (
    LARGEST_FACTOR,
    MAX_SHIFT,
    SMALLEST,
    Rows,
    choose_exponent,
    choose_norm_exponent,
    floor_log2,
    highest_norm_exponent,
    make_gain,
)
from host.model.ranges import Ranges


class Attention:
    """A layer's attention. Raises ModelError if its scores are too large.

    k_exponent: of keys as they are multiplied; units: of what the matrices of queries and keys
    give, which are others than those where norms follow, whose gains are `gains`.
    """

    def __init__(
        self, layer: LayerWeights, rows: LayerRows, config: Config, ranges: Ranges, index: int
    ) -> None:
        self.norm = layer["attention_norm"]
        self.q, self.k, self.v, self.o = (rows[name] for name in ("wq", "wk", "wv", "wo"))
        self.limit = min(rows.input_limit() for rows in (self.q, self.k, self.v))
        self.exponent = choose_norm_exponent(self.norm, ranges.attention_input[index], self.limit)
        self.q_limit, self.k_limit = score_limits(config.head_dim)
        finest = (
            highest_norm_exponent(layer["k_norm"])
            if config.qk_norm
            else self.k.highest_exponent(self.exponent)
        )
        largest = max(0 if config.qk_norm else ranges.k[index], ranges.rotated_k[index])
        self.k_exponent = min(choose_exponent(largest, self.k_limit), finest)
        fraction, factor = self._choose_fraction(layer, config, ranges, index)
        if fraction < arithmetic.EXP_FRACTION_BITS:
            raise ModelError(f"layer {index}: attention scores too large to quantize")
        self.score_shift = fraction - arithmetic.EXP_FRACTION_BITS
        q_unit = 1 / (factor * 2.0**fraction)
        self.units = q_unit, 2.0**-self.k_exponent
        self.gains: tuple[Gain | None, Gain | None] = (None, None)
        if config.qk_norm:
            q = self.q, layer["q_norm"], ranges.q[index], self.units[0]
            k = self.k, layer["k_norm"], ranges.k[index], self.units[1]
            q_unit, q_gain = self._make_norm(*q, config.norm_eps)
            k_unit, k_gain = self._make_norm(*k, config.norm_eps)
            self.units, self.gains = (q_unit, k_unit), (q_gain, k_gain)
        self.v_limit = self.o.input_limit()
        self.v_exponent = min(
            choose_exponent(ranges.v[index], self.v_limit), self.v.highest_exponent(self.exponent)
        )

    def _choose_fraction(
        self, layer: LayerWeights, config: Config, ranges: Ranges, index: int
    ) -> tuple[int, float]:
        """Returns how many fractional bits scores have, which come out as base-2 exponents, and
        what a query is multiplied with in addition: 1 / sqrt(head_dim) and log2(e) are part of its
        scale, so that the exp table is indexed by a shift alone."""
        factor = math.log2(math.e) / math.sqrt(config.head_dim) * 2.0**-self.k_exponent
        largest = max(0 if config.qk_norm else ranges.q[index], ranges.rotated_q[index])
        if config.qk_norm:
            finest = highest_norm_exponent(layer["q_norm"], factor)
        else:
            scale = self.q.largest_scale * 2.0**-self.exponent * factor
            finest = floor_log2(LARGEST_FACTOR / scale)
        fraction = min(
            choose_exponent(largest * factor, self.q_limit),
            finest,
            arithmetic.EXP_FRACTION_BITS + MAX_SHIFT,
        )
        return fraction, factor

    def _make_norm(
        self, rows: Rows, weight: FloatArray, largest: float, unit: float, norm_eps: float
    ) -> tuple[float, Gain]:
        """Returns the unit of a matrix's int16 outputs that reach `largest`, and the gain of the
        norm of each head of them, whose outputs are in units of `unit`."""
        epsilon = len(weight) * norm_eps
        exponent = min(
            choose_exponent(largest, INT16_LIMIT),
            rows.highest_exponent(self.exponent),
            floor_log2(2.0**29 / max(epsilon, SMALLEST)) // 2,  # keeps Gain.epsilon below 2**30
        )
        return 2.0**-exponent, make_gain(weight, unit, round(epsilon * 4.0**exponent))

    def highest_residual_exponent(self) -> int:
        """Returns the finest scale that the output's sums can be brought to."""
        return self.o.highest_exponent(self.v_exponent)


class FeedForward:
    """A layer's feed-forward network. Raises ModelError if its gate is too large.

    residual: the scale 2**-residual that the residual stream is to have.
    """

    def __init__(
        self, layer: LayerWeights, rows: LayerRows, ranges: Ranges, index: int, residual: int
    ) -> None:
        steps = arithmetic.SIGMOID_STEP_BITS
        self.norm = layer["ffn_norm"]
        self.gate, self.up, self.down = (rows[name] for name in ("w1", "w3", "w2"))
        self.limit = min(self.gate.input_limit(), self.up.input_limit())
        self.exponent = choose_norm_exponent(self.norm, ranges.ffn_input[index], self.limit)
        self.gate_exponent = min(
            max(choose_exponent(ranges.gate[index], INT16_LIMIT), steps),
            self.gate.highest_exponent(self.exponent),
            steps + MAX_SHIFT,
        )
        largest = ranges.gate[index] * 2.0**self.gate_exponent
        if self.gate_exponent < steps or largest > INT16_LIMIT:
            raise ModelError(f"layer {index}: gate activations too large to quantize")
        self.up_exponent = min(
            choose_exponent(ranges.up[index], INT16_LIMIT), self.up.highest_exponent(self.exponent)
        )
        self.hidden_limit = self.down.input_limit()
        finest = choose_exponent(ranges.hidden[index], self.hidden_limit)
        if room := float(ranges.roomy_hidden[index]):
            # What saturates costs more than a bit of what is usual, but the stream's scale more.
            coarsest = residual - self.down.highest_exponent(0)
            finest = min(finest, max(choose_exponent(room, self.hidden_limit), coarsest))
        # A product is shifted by 1 to MAX_SHIFT bits.
        product = self.gate_exponent + self.up_exponent
        self.hidden_exponent = max(min(finest, product - 1), product - MAX_SHIFT)

    def highest_residual_exponent(self) -> int:
        """Returns the finest scale that the output's sums can be brought to."""
        return self.down.highest_exponent(self.hidden_exponent)


def score_limits(head_dim: int) -> tuple[int, int]:
    """Returns the saturation bounds of q and k.

    Their bits add up to 32 - log2(head_dim), so that |q.k| < 2**30 and the difference of two
    scores still fits 32 bits.
    """
    bits = 32 - (head_dim - 1).bit_length()
    q_bits = min(bits // 2, 16)
    return (1 << (q_bits - 1)) - 1, (1 << (min(bits - q_bits, 16) - 1)) - 1
