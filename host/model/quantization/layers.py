"""The scales of one layer's activations, and its integer weights: attention and feed-forward."""

from __future__ import annotations

import math

from host.errors import ModelError
from host.model import arithmetic
from host.model.arithmetic import INT16_LIMIT
from host.model.checkpoint import Checkpoint
from host.model.quantization.scales import (
    LARGEST_FACTOR,
    MAX_SHIFT,
    Rows,
    choose_exponent,
    choose_norm_exponent,
    floor_log2,
)
from host.model.ranges import Ranges


class Attention:
    """A layer's attention. Raises ModelError where its scores are too large."""

    def __init__(self, checkpoint: Checkpoint, ranges: Ranges, index: int) -> None:
        self.norm = checkpoint.attention_norm[index]
        self.q, self.k = Rows(checkpoint.wq[index]), Rows(checkpoint.wk[index])
        self.v, self.o = Rows(checkpoint.wv[index]), Rows(checkpoint.wo[index])
        self.limit = min(rows.input_limit() for rows in (self.q, self.k, self.v))
        self.exponent = choose_norm_exponent(self.norm, ranges.attention_input[index], self.limit)
        head_dim = checkpoint.config.head_dim
        self.q_limit, self.k_limit = score_limits(head_dim)
        self.k_exponent = min(
            choose_exponent(max(ranges.k[index], ranges.rotated_k[index]), self.k_limit),
            self.k.highest_exponent(self.exponent),
        )
        # Scores come out as base-2 exponents with `fraction` fractional bits: 1 / sqrt(head_dim)
        # and log2(e) are part of q's scale, so that the exp table is indexed by a shift alone.
        factor = math.log2(math.e) / math.sqrt(head_dim) * 2.0**-self.k_exponent
        largest = max(ranges.q[index], ranges.rotated_q[index])
        fraction = min(
            choose_exponent(largest * factor, self.q_limit),
            floor_log2(LARGEST_FACTOR / (self.q.largest_scale * 2.0**-self.exponent * factor)),
            arithmetic.EXP_FRACTION_BITS + MAX_SHIFT,
        )
        if fraction < arithmetic.EXP_FRACTION_BITS:
            raise ModelError(f"layer {index}: attention scores too large to quantize")
        self.score_shift = fraction - arithmetic.EXP_FRACTION_BITS
        self.q_unit = 1 / (factor * 2.0**fraction)
        self.v_limit = self.o.input_limit()
        self.v_exponent = min(
            choose_exponent(ranges.v[index], self.v_limit), self.v.highest_exponent(self.exponent)
        )

    def highest_residual_exponent(self) -> int:
        """Returns the finest scale that the output's sums can be brought to."""
        return self.o.highest_exponent(self.v_exponent)


class FeedForward:
    """A layer's feed-forward network. Raises ModelError where its gate is too large."""

    def __init__(self, checkpoint: Checkpoint, ranges: Ranges, index: int) -> None:
        steps = arithmetic.SIGMOID_STEP_BITS
        self.norm = checkpoint.ffn_norm[index]
        self.gate, self.up = Rows(checkpoint.w1[index]), Rows(checkpoint.w3[index])
        self.down = Rows(checkpoint.w2[index])
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
