"""Limits and scales of quantized models, whatever the weights."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings

from host.errors import ModelError
from host.model.arithmetic import ACCUMULATOR_LIMIT, INT16_LIMIT, RESIDUAL_LIMIT
from host.model.checkpoint import Checkpoint, Config
from host.model.float_model import FloatModel
from host.model.float_text import sample_sequences
from host.model.quantization.quantize import quantize
from host.model.ranges import Ranges
from tests.host.quantized_limits import assert_limits, assert_scales, scale_ratio
from tests.host.random_models import checkpoints
from tests.host.tiny import TINY, random_checkpoint


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
    ranges = model.measure_ranges(sample_sequences(model, 16, TINY.context, 0))
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
    ranges = model.measure_ranges(sample_sequences(model, 16, TINY.context, 0))
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
