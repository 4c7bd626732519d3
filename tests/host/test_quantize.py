"""Limits and scales of quantized models, whatever the weights."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings

from host.errors import ModelError
from host.model.arithmetic import ACCUMULATOR_LIMIT, INT16_LIMIT, RESIDUAL_LIMIT, Gain, Rescale
from host.model.checkpoint import Checkpoint, Config
from host.model.float_model import FloatModel
from host.model.quantization.quantize import quantize
from host.model.quantized import Linear, QuantizedLayer, QuantizedModel
from host.model.ranges import Ranges
from tests.host.random_models import checkpoints
from tests.host.tiny import TINY, random_checkpoint


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
    assert weight.dtype == np.int8
    assert np.abs(weight.astype(int)).max() <= 127
    assert 0 < limit <= INT16_LIMIT
    assert np.abs(weight.astype(int)).sum(axis=1).max() * limit <= ACCUMULATOR_LIMIT
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
        assert 0 < layer.q_limit <= INT16_LIMIT
        assert 0 < layer.k_limit <= INT16_LIMIT
        assert model.config.head_dim * layer.q_limit * layer.k_limit < 1 << 30
        # Keys are stored with k_limit + 1 added, and their products must not wrap either.
        assert model.config.head_dim * layer.q_limit * (2 * layer.k_limit + 1) < 1 << 31
        assert 0 <= layer.score_shift <= 30
        assert 0 <= layer.index_shift <= 30
        assert 1 <= layer.product_shift <= 30


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


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # gates below -700
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(checkpoints())
def test_every_limit_holds_or_the_model_is_refused(checkpoint: Checkpoint) -> None:
    try:
        model = quantize(checkpoint)
    except ModelError as error:
        event("refused")
        assert "too large to quantize" in str(error)
        assert "\n" not in str(error)
    else:
        event("quantized")
        assert_limits(model)
        assert_scales(model, checkpoint)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_usual_weights_are_never_refused(seed: int, shared: bool) -> None:
    checkpoint = random_checkpoint(shared=shared, seed=seed)
    model = quantize(checkpoint)
    assert_limits(model)
    assert_scales(model, checkpoint)


@pytest.mark.filterwarnings("error")  # of a row of zeros
def test_weights_are_rounded_to_steps_of_their_row() -> None:
    checkpoint = random_checkpoint()
    checkpoint.w1[1, 3] = 0
    model = quantize(checkpoint)
    for index, layer in enumerate(model.layers):
        for name, linear in (("wq", layer.q), ("wo", layer.o), ("w1", layer.gate)):
            weight = getattr(checkpoint, name)[index].astype(float)
            step = np.abs(weight).max(axis=1, keepdims=True) / 127
            assert (np.abs(linear.weight * step - weight) <= step / 2 * 1.000001).all()
            ratio = scale_ratio(linear, weight) * 2.0**linear.rescale.shift
            assert np.abs(linear.rescale.multiplier - step[:, 0] * ratio).max() <= 1
    assert (model.layers[1].gate.weight[3] == 0).all()
    assert model.layers[1].gate.rescale.multiplier[3] == 0


def checkpoint_of(config: Config, **weights: float) -> Checkpoint:
    """A random checkpoint of which some weights are one number throughout."""
    checkpoint = random_checkpoint(config)
    for name, value in weights.items():
        getattr(checkpoint, name)[:] = value
    return checkpoint


def test_long_rows_take_bits_from_their_inputs() -> None:
    config = dataclasses.replace(TINY, hidden_dim=600)
    for sign in (0.25, -0.25):
        layer = quantize(checkpoint_of(config, w2=sign)).layers[0]
        assert layer.hidden_limit == ACCUMULATOR_LIMIT // (600 * 127) == 14091
        assert layer.v_limit == INT16_LIMIT
    # 258 inputs are the most that keep all 16 bits whatever the weights.
    for hidden, limit in ((258, INT16_LIMIT), (259, ACCUMULATOR_LIMIT // (259 * 127))):
        config = dataclasses.replace(TINY, hidden_dim=hidden)
        assert quantize(checkpoint_of(config, w2=1)).layers[1].hidden_limit == limit
    config = dataclasses.replace(TINY, dim=600, heads=6, head_dim=100)
    model = quantize(checkpoint_of(config, wk=1, wo=1, w3=1, classifier=1))
    for limit in (
        model.layers[0].attention_limit,
        model.layers[0].v_limit,
        model.layers[1].feed_forward_limit,
        model.final_limit,
    ):
        assert limit == 14091


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wq", "layer 1: attention scores too large to quantize"),
        ("wk", "layer 1: attention scores too large to quantize"),
        ("w1", "layer 1: gate activations too large to quantize"),
    ],
)
def test_what_no_scale_can_hold_is_refused(name: str, message: str) -> None:
    checkpoint = random_checkpoint()
    getattr(checkpoint, name)[1] *= 1e6
    with pytest.raises(ModelError) as raised:
        quantize(checkpoint)
    assert str(raised.value) == message


def test_logits_that_no_scale_can_hold_are_refused() -> None:
    checkpoint = random_checkpoint(shared=False)
    checkpoint.classifier[:] *= 1e5
    with pytest.raises(ModelError, match="^logits too large to quantize$"):
        quantize(checkpoint)


def test_gates_are_held_up_to_512() -> None:
    checkpoint = random_checkpoint()
    ranges = Ranges(TINY.layers)
    ranges.gate[:] = 511.9
    assert [layer.index_shift for layer in quantize(checkpoint, ranges).layers] == [0, 0]
    ranges.gate[1] = 512.1
    with pytest.raises(ModelError, match="layer 1: gate activations"):
        quantize(checkpoint, ranges)


def test_vanishing_activations_keep_shifts_within_registers() -> None:
    checkpoint, ranges = random_checkpoint(), Ranges(TINY.layers)
    ranges.gate[:], ranges.up[:] = 5.0, 5.0
    assert [layer.product_shift for layer in quantize(checkpoint, ranges).layers] == [1, 1]
    checkpoint.w1[:] *= 1e-12
    checkpoint.w3[:] *= 1e-12
    layers = quantize(checkpoint, Ranges(TINY.layers)).layers
    assert [layer.index_shift for layer in layers] == [30, 30]
    assert [layer.product_shift for layer in layers] == [30, 30]


def test_a_coarse_input_scale_makes_the_residual_stream_coarser() -> None:
    """Values v whose inputs cancel out have a coarser scale than their range asks for; the output
    projection's factors must be below one half with that one."""
    checkpoint = random_checkpoint()
    model = FloatModel(checkpoint)
    ranges = model.measure_ranges(model.sample_sequences(16, TINY.context, 0))
    ranges.v[:] = 1e-7
    usual = quantize(checkpoint, ranges)
    checkpoint.wo[:] *= 4096
    coarse = quantize(checkpoint, ranges)
    assert_limits(coarse)
    assert_scales(coarse, checkpoint)
    assert coarse.residual_exponent < usual.residual_exponent


def test_embeddings_beyond_the_residual_streams_range_are_clipped() -> None:
    """Those of tokens that calibration never met."""
    checkpoint = random_checkpoint(shared=False)
    model = FloatModel(checkpoint)
    ranges = model.measure_ranges(model.sample_sequences(16, TINY.context, 0))
    checkpoint.embedding[7, :2] = 1000, -1000
    embedding = quantize(checkpoint, ranges).embedding
    assert embedding[7, :2].tolist() == [RESIDUAL_LIMIT, -RESIDUAL_LIMIT]


@pytest.mark.parametrize("epsilon", [0.0, 1e-12, 1e-5, 1.0, 1e6])
def test_any_epsilon_of_norms(epsilon: float) -> None:
    config = dataclasses.replace(TINY, norm_eps=epsilon)
    model = quantize(random_checkpoint(config))
    assert_limits(model)
    exact = config.dim * epsilon * 4.0**model.residual_exponent
    assert abs(model.final_gain.epsilon - exact) <= 0.5


def test_the_same_checkpoint_gives_the_same_model() -> None:
    first, second = (quantize(random_checkpoint()).sha256() for _ in range(2))
    assert first == second
    assert quantize(random_checkpoint(seed=1)).sha256() != first


def changed(value: Any) -> Iterator[Any]:
    """`value` with one of its numbers changed, once for each place that holds numbers."""
    if isinstance(value, np.ndarray):
        for at in (0, value.size - 1):
            other = value.copy()
            other.reshape(-1)[at] ^= 1
            yield other
    elif dataclasses.is_dataclass(value) and not isinstance(value, type | Config):
        for field in dataclasses.fields(value):
            for other in changed(getattr(value, field.name)):
                yield dataclasses.replace(value, **{field.name: other})
    elif isinstance(value, tuple):
        make = value._make if isinstance(value, Linear | Gain | Rescale) else tuple
        for i, item in enumerate(value):
            for other in changed(item):
                yield make([*value[:i], other, *value[i + 1 :]])
    elif isinstance(value, Config):
        yield dataclasses.replace(value, rope_theta=20000.0)
        yield dataclasses.replace(value, context=17)
    else:
        yield value + 1


def test_the_digest_changes_with_any_number() -> None:
    model = quantize(random_checkpoint())
    digests = [model.sha256()]
    digests += [other.sha256() for other in changed(model)]
    assert len(digests) > 2 * 40
    assert len(set(digests)) == len(digests)


def test_the_digest_changes_with_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    model = quantize(random_checkpoint())
    digests = {model.sha256()}
    for name in ("exp_table", "sigmoid_table"):
        with monkeypatch.context() as patch:
            patch.setattr(f"host.model.quantized.{name}", lambda: np.zeros(4, np.int64))
            digests.add(dataclasses.replace(model).sha256())  # each hashes once
    assert len(digests) == 3


def test_the_digest_tells_shapes_apart() -> None:
    model = quantize(random_checkpoint())
    turned = dataclasses.replace(model, embedding=model.embedding.reshape(24, 40))
    assert turned.sha256() != model.sha256()
