"""Whether a quantized model keeps within the limits of registers, and its scales are right."""

import math

import numpy as np

from host.model.arithmetic import (
    ACCUMULATOR_LIMIT,
    INT16_LIMIT,
    RESIDUAL_LIMIT,
    Gain,
    grouped_matvec,
)
from host.model.checkpoint import Checkpoint
from host.model.groups import pack
from host.model.quantized import Linear, QuantizedLayer, QuantizedModel


def inputs(layer: QuantizedLayer) -> list[tuple[Linear, int]]:
    """A layer's matrices and the limits of what they are multiplied with."""
    return [
        *((linear, layer.attention_limit) for linear in (layer.q, layer.k, layer.v)),
        (layer.o, layer.v_limit),
        *((linear, layer.feed_forward_limit) for linear in (layer.gate, layer.up)),
        (layer.down, layer.hidden_limit),
    ]


def assert_linear(linear: Linear, limit: int) -> None:
    weight, (multiplier, shift) = linear.weight, linear.rescale
    if weight.dtype == np.int16:
        pack(weight.astype(np.int16, copy=False))  # raises ValueError for other weights
    else:
        assert weight.dtype == np.int8
        assert np.abs(weight.astype(int)).max() <= 127
    assert 0 < limit <= INT16_LIMIT
    # The largest sum of each row: that of the signs of its weights.
    rows = np.abs(weight.astype(np.int64))
    largest = (
        grouped_matvec(rows.astype(np.int16), np.full((1, rows.shape[1]), limit))
        if weight.dtype == np.int16
        else rows.sum(axis=1) * limit
    )
    assert largest.max() <= ACCUMULATOR_LIMIT
    assert multiplier.shape == weight.shape[:1]
    assert multiplier.min() >= 0
    assert multiplier.max() < 1 << 15
    assert 16 <= shift <= 45


def assert_gain(gain: Gain) -> None:
    assert np.abs(gain.multiplier).max() < 1 << 15
    assert 15 <= gain.shift <= 29
    assert 0 <= gain.epsilon < 1 << 30


def assert_limits(model: QuantizedModel) -> None:
    """What arithmetic.py asks of a model so that no register overflows."""
    assert np.abs(model.embedding).max() <= RESIDUAL_LIMIT
    assert_linear(model.classifier, model.final_limit)
    assert_gain(model.final_gain)
    assert 0 <= model.logit_exponent < 256  # a byte on the wire
    for layer in model.layers:
        for linear, limit in inputs(layer):
            assert_linear(linear, limit)
        assert_gain(layer.attention_gain)
        assert_gain(layer.feed_forward_gain)
        assert (layer.q_norm is not None) == (layer.k_norm is not None) == model.config.qk_norm
        for gain in (layer.q_norm, layer.k_norm):
            if gain is not None:
                assert_gain(gain)
        assert 0 < layer.q_limit <= INT16_LIMIT
        assert 0 < layer.k_limit <= INT16_LIMIT
        assert model.config.head_dim * layer.q_limit * layer.k_limit < 1 << 30
        # Keys are stored with k_limit + 1 added, and their products must not wrap either.
        assert model.config.head_dim * layer.q_limit * (2 * layer.k_limit + 1) < 1 << 31
        assert 0 <= layer.score_shift <= 30
        assert 0 <= layer.index_shift <= 30
        assert 1 <= layer.product_shift <= 30
        for drop in (layer.o_drop, layer.down_drop):
            assert drop is None or 1 <= drop <= 30


def gain_unit(gain: Gain, weight: np.ndarray) -> float:
    """Integer units in a norm's output of 1; NaN where its weights say nothing of it."""
    top = np.abs(weight).argmax()
    if abs(gain.multiplier[top]) < 1 << 9:
        return math.nan
    dim = len(weight)
    spread = math.sqrt((1 << (dim - 1).bit_length()) / dim)
    factor = gain.multiplier[top] / 2.0**gain.shift / float(weight[top])
    return factor * 2**14 * spread


def scale_ratio(linear: Linear, weight: np.ndarray) -> float:
    """Units of a matrix's output for each unit of its input; NaN where its rows say nothing."""
    steps = np.abs(weight.astype(float)).max(axis=1) / 127
    top = steps.argmax()
    if linear.rescale.multiplier[top] < 1 << 9:
        return math.nan
    return linear.rescale.multiplier[top] / 2.0**linear.rescale.shift / steps[top]


def assert_scales(model: QuantizedModel, checkpoint: Checkpoint) -> None:
    """The scales along every path through the model are what its ends ask for."""
    residual, size = 2.0**model.residual_exponent, model.config.head_dim
    ends = []
    for i, layer in enumerate(model.layers):
        norm = gain_unit(layer.attention_gain, checkpoint.attention_norm[i])
        q = norm * scale_ratio(layer.q, checkpoint.wq[i])
        k = norm * scale_ratio(layer.k, checkpoint.wk[i])
        v = norm * scale_ratio(layer.v, checkpoint.wv[i])
        if layer.q_norm is not None and layer.k_norm is not None:  # whose outputs forget the input
            assert checkpoint.q_norm is not None and checkpoint.k_norm is not None
            q = gain_unit(layer.q_norm, checkpoint.q_norm[i])
            k = gain_unit(layer.k_norm, checkpoint.k_norm[i])
        ends.append((q * k, math.log2(math.e) / math.sqrt(size) * 2.0 ** (layer.score_shift + 9)))
        ends.append((v * scale_ratio(layer.o, checkpoint.wo[i]), residual))
        norm = gain_unit(layer.feed_forward_gain, checkpoint.ffn_norm[i])
        gate = norm * scale_ratio(layer.gate, checkpoint.w1[i])
        up = norm * scale_ratio(layer.up, checkpoint.w3[i])
        hidden = gate * up / 2.0**layer.product_shift
        ends.append((gate, 2.0 ** (layer.index_shift + 6)))
        ends.append((hidden * scale_ratio(layer.down, checkpoint.w2[i]), residual))
    norm = gain_unit(model.final_gain, checkpoint.final_norm)
    logit = norm * scale_ratio(model.classifier, checkpoint.classifier)
    ends.append((logit, 2.0**model.logit_exponent))
    for found, expected in ends:
        assert math.isnan(found) or math.isclose(found, expected, rel_tol=2**-6)
