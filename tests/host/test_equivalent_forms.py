"""Forms of a model that compute the same, and one with massive activations brought into them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.model.checkpoint import Checkpoint, Config
from host.model.float_model import FloatModel
from host.model.float_weights import FloatWeights
from host.model.quantization.copies import FEW_COPIES, CopiedUnits, choose_copies
from host.model.quantization.massive import calibrate
from host.model.quantization.quantize import quantize
from host.model.quantization.rotation import RotatedWeights, transform
from host.model.quantized import QuantizedModel
from host.model.ranges import Ranges
from host.model.reference import Reference
from tests.host.quantized_limits import assert_limits
from tests.host.random_models import configs
from tests.host.tiny import NORMED_HEADS, random_checkpoint

WIDE = Config(dim=36, hidden_dim=64, layers=3, heads=6, kv_heads=2, vocab_size=40, context=16)
BOS = 1


@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_the_transform_is_orthogonal_its_own_inverse_and_spreads(size: int, seed: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((3, size))
    there = transform(rows)
    assert np.allclose(transform(there), rows)
    assert np.allclose(there @ there.T, rows @ rows.T)
    assert np.abs(transform(np.eye(size))).max() <= np.sqrt(2 / size) * (1 + 1e-12)


def assert_same(form: FloatWeights, weights: FloatWeights) -> None:
    tokens = np.random.default_rng(0).integers(0, weights.config.vocab_size, (2, 6))
    expected = FloatModel(weights).logits(tokens)
    found = FloatModel(form).logits(tokens)
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@settings(deadline=None, max_examples=20)
@given(configs(head_sizes=(2, 6, 8), largest_hidden=60), st.data())
def test_forms_compute_the_same(config: Config, data: st.DataObject) -> None:
    weights = random_checkpoint(config, shared=data.draw(st.booleans()))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    more = random.integers(0, config.hidden_dim, (config.layers, data.draw(st.integers(0, 9))))
    copies = np.array(
        [1 + np.bincount(row, minlength=config.hidden_dim) for row in more], np.int64
    )
    copied = CopiedUnits(weights, copies)
    assert copied.config == replace(config, hidden_dim=config.hidden_dim + more.shape[1])
    assert_same(copied, weights)
    assert_same(RotatedWeights(weights), weights)
    assert_same(RotatedWeights(copied), weights)
    digests = {form.digest() for form in (weights, copied, RotatedWeights(copied))}
    assert len(digests) == 3


def test_copies_are_as_few_as_do() -> None:
    peaks = np.ones((3, 64))
    peaks[0, 5], peaks[0, 9], peaks[1, 7] = 7.9, 2.1, 3.0
    goals = np.full(3, 4.0)
    copies = choose_copies(peaks, goals)
    assert copies.sum(axis=1).tolist() == [65, 65, 65]
    assert (peaks / copies).max() <= 4
    # No more than so many, which are for what is largest.
    copies = choose_copies(peaks, np.full(3, 0.5))
    assert copies.sum(axis=1).tolist() == [64 + FEW_COPIES] * 3
    assert copies[0, [5, 9]].tolist() == [4, 2]
    assert (choose_copies(peaks, np.full(3, 8.0)) == 1).all()


def massive_checkpoint(config: Config = WIDE) -> Checkpoint:
    """A model in which BOS makes one unit thousands of times as large as others are, and with it
    one element of the residual stream, as trained models do."""
    checkpoint = random_checkpoint(config)
    direction = checkpoint.embedding[BOS] * checkpoint.ffn_norm[0]
    checkpoint.w1[0, 3] = checkpoint.w3[0, 3] = 8 * direction / np.abs(direction).max()
    checkpoint.w2[0, :, 3] *= 0.1
    checkpoint.w2[0, 11, 3] = 3
    checkpoint.wo[0] *= 0.1  # so that the first layer's attention does not hide BOS
    return checkpoint


def loss(model: QuantizedModel, weights: FloatWeights, tokens: np.ndarray) -> float:
    """The root of the mean square of what logits differ by, in units of theirs."""
    expected = FloatModel(weights).logits(tokens)
    found = Reference(model, *tokens.shape).logits(tokens) * 2.0**-model.logit_exponent
    return float(np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)))


@pytest.mark.parametrize("config", [WIDE, replace(NORMED_HEADS, dim=36, hidden_dim=64)])
def test_massive_activations_cost_little(config: Config) -> None:
    weights = massive_checkpoint(config)
    tokens = np.random.default_rng(0).integers(3, 40, (4, 16))
    tokens[:, 0] = BOS
    model = FloatModel(weights)
    steps: list[str] = []

    def begin(name: str, parts: int) -> object:
        steps.append(name)
        assert parts == config.layers
        return lambda: None

    form, ranges, rows = calibrate(weights, model, tokens, begin)  # type: ignore[arg-type]
    assert steps == ["calibrating", "calibrating, rotated"]
    plain = model.measure_ranges(tokens)
    assert ranges.residual < plain.residual / 2
    assert ranges.hidden[0] < plain.hidden[0] / 2
    assert form.config.hidden_dim <= config.hidden_dim + FEW_COPIES
    assert_same(form, weights)
    quantized = quantize(form, ranges, rows)
    assert_limits(quantized)
    before, after = (loss(each, weights, tokens) for each in (quantize(weights, plain), quantized))
    print(f"{before:.4f} as it is, {after:.4f} in the other form")
    assert after < 0.07
    assert after < before / 4


def test_usual_models_stay_as_they_are() -> None:
    weights = random_checkpoint()
    model = FloatModel(weights)
    tokens = np.arange(12).reshape(2, 6)
    form, ranges, rows = calibrate(weights, model, tokens)
    assert form is weights and rows is None
    plain = model.measure_ranges(tokens)
    for site, values in vars(Ranges(2)).items():
        assert np.array_equal(getattr(ranges, site), getattr(plain, site)), site
        assert np.shape(values) == np.shape(getattr(plain, site))
    assert quantize(form, ranges, rows).sha256() == quantize(weights, plain).sha256()
