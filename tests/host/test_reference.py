"""The reference against a forward pass in 32-bit registers, one number at a time, and floats."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from host.errors import ModelError
from host.model import arithmetic
from host.model.arithmetic import INT16_LIMIT, Gain
from host.model.checkpoint import Checkpoint
from host.model.float_model import FloatModel
from host.model.quantization.caches import narrow_caches
from host.model.quantization.quantize import quantize
from host.model.quantized import Linear, QuantizedLayer, QuantizedModel
from host.model.reference import Reference
from tests.host import registers
from tests.host.random_models import VOCABULARY, checkpoints, configs
from tests.host.tiny import NORMED_HEADS, TINY, random_checkpoint

EXP, SIGMOID = arithmetic.exp_table().tolist(), arithmetic.sigmoid_table().tolist()
TOKENS = [1, 7, 39, 0, 7, 21, 5, 5, 12]


class PlainModel:
    """A quantized model that runs one token at a time in registers of 32 bits."""

    def __init__(self, model: QuantizedModel) -> None:
        self.model, self.config = model, model.config
        self.rope = registers.rope_table(model.rope_steps.tolist(), model.config.context)
        # For each layer and KV head, the keys and values of each position.
        layers, kv_heads = range(self.config.layers), range(self.config.kv_heads)
        self.keys: list[list[list[list[int]]]] = [[[] for _ in kv_heads] for _ in layers]
        self.values: list[list[list[list[int]]]] = [[[] for _ in kv_heads] for _ in layers]
        self.position = 0

    def step(self, token: int) -> list[int]:
        model = self.model
        residual = model.embedding[token].tolist()
        for index, layer in enumerate(model.layers):
            x = normalized(residual, layer.attention_gain, layer.attention_limit)
            residual = added(residual, layer.o, self.attention(index, x), layer.o_drop)
            x = normalized(residual, layer.feed_forward_gain, layer.feed_forward_limit)
            residual = added(residual, layer.down, hidden_units(layer, x), layer.down_drop)
        self.position += 1
        x = normalized(residual, model.final_gain, model.final_limit)
        return product(model.classifier, x, INT16_LIMIT)

    def attention(self, index: int, x: list[int]) -> list[int]:
        layer, size = self.model.layers[index], self.config.head_dim
        queries = self.turned(layer.q, layer.q_norm, x, layer.q_limit)
        keys = self.turned(layer.k, layer.k_norm, x, layer.k_limit)
        values = product(layer.v, x, layer.v_limit)
        stored = registers.narrowed if self.config.int8_kv else list
        for head in range(self.config.kv_heads):
            self.keys[index][head].append(stored(keys[head * size : (head + 1) * size]))
            self.values[index][head].append(stored(values[head * size : (head + 1) * size]))
        means = []
        for head in range(self.config.heads):
            query = queries[head * size : (head + 1) * size]
            shared = head * self.config.kv_heads // self.config.heads
            scores = [registers.dot(key, query) for key in self.keys[index][shared]]
            weights = registers.attention_weights(scores, layer.score_shift, EXP)
            for column in zip(*self.values[index][shared], strict=True):
                means.append(registers.weighted_mean(weights, column))
        return means

    def turned(self, linear: Linear, norm: Gain | None, x: list[int], limit: int) -> list[int]:
        if norm is None:
            return self.rotated(product(linear, x, limit), limit)
        rows, size = product(linear, x, INT16_LIMIT), self.config.head_dim
        heads = [rows[at : at + size] for at in range(0, len(rows), size)]
        return self.rotated([v for head in heads for v in normalized(head, norm, limit)], limit)

    def rotated(self, rows: list[int], limit: int) -> list[int]:
        row = registers.rope_row(self.rope, self.position)
        out: list[int] = []
        for i in range(0, len(rows), 2):
            cosine, sine = row[i // 2 % len(row)]
            out += registers.rotated(rows[i], rows[i + 1], cosine, sine, limit)
        return out


def normalized(residual: list[int], gain: Gain, limit: int) -> list[int]:
    multipliers = gain.multiplier.tolist()
    return registers.rms_normalized(residual, multipliers, gain.shift, gain.epsilon, limit)


def sums(linear: Linear, x: list[int]) -> list[int]:
    is_grouped = linear.weight.dtype == np.int16
    dot = registers.grouped_dot if is_grouped else registers.dot
    return [dot(row, x) for row in linear.weight.tolist()]


def product(linear: Linear, x: list[int], limit: int) -> list[int]:
    multipliers, shift = linear.rescale.multiplier.tolist(), linear.rescale.shift
    return [
        registers.clipped(registers.rescaled(total, multiplier, shift), limit)
        for total, multiplier in zip(sums(linear, x), multipliers, strict=True)
    ]


def hidden_units(layer: QuantizedLayer, x: list[int]) -> list[int]:
    shifts, limit = (layer.index_shift, layer.product_shift), layer.hidden_limit
    pairs = zip(product(layer.gate, x, 32767), product(layer.up, x, 32767), strict=True)
    return [registers.gated(gate, up, *shifts, SIGMOID, limit) for gate, up in pairs]


def added(residual: list[int], linear: Linear, x: list[int], drop: int | None) -> list[int]:
    multipliers, shift = linear.rescale.multiplier.tolist(), linear.rescale.shift
    return [
        registers.residual_sum(value, total, multiplier, shift, drop or 0)
        for value, total, multiplier in zip(residual, sums(linear, x), multipliers, strict=True)
    ]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_logits_equal_those_of_registers(seed: int, shared: bool) -> None:
    model = quantize(random_checkpoint(shared=shared, seed=seed))
    plain = PlainModel(model)
    logits = Reference(model).logits([TOKENS])[0]
    assert np.abs(logits).max() > 5000  # 13 bits and more of logits to compare
    for token, expected in zip(TOKENS, logits.tolist(), strict=True):
        assert plain.step(token) == expected


@pytest.mark.parametrize("seed", range(3))
def test_norms_of_queries_and_keys(seed: int) -> None:
    """The reference equals registers, and is near to floats."""
    checkpoint = random_checkpoint(NORMED_HEADS, seed=seed)
    model = quantize(checkpoint)
    plain = PlainModel(model)
    logits = Reference(model).logits([TOKENS])[0]
    for token, expected in zip(TOKENS, logits.tolist(), strict=True):
        assert plain.step(token) == expected
    floats = FloatModel(checkpoint).logits(TOKENS)
    np.testing.assert_allclose(logits * 2.0**-model.logit_exponent, floats, atol=0.2)


@pytest.mark.parametrize("head_dim", [2, 8, 10])
def test_heads_narrower_and_wider_than_the_residual_stream(head_dim: int) -> None:
    """The reference equals registers, and is near to floats."""
    checkpoint = random_checkpoint(dataclasses.replace(TINY, dim=20, head_dim=head_dim))
    model = quantize(checkpoint)
    plain = PlainModel(model)
    logits = Reference(model).logits([TOKENS])[0]
    for token, expected in zip(TOKENS, logits.tolist(), strict=True):
        assert plain.step(token) == expected
    floats = FloatModel(checkpoint).logits(TOKENS)
    np.testing.assert_allclose(logits * 2.0**-model.logit_exponent, floats, atol=0.15)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(
    checkpoints(configs((2, 6, 8, 16), largest_hidden=90)),
    st.lists(st.integers(0, VOCABULARY - 1), min_size=2, max_size=5),
    st.booleans(),
)
def test_logits_of_any_model_equal_those_of_registers(
    checkpoint: Checkpoint, tokens: list[int], int8_kv: bool
) -> None:
    try:
        model = quantize(checkpoint)
    except ModelError:
        event("refused")
        assume(False)
    model = narrow_caches(model) if int8_kv else model
    plain, reference = PlainModel(model), Reference(model)
    for token in tokens:
        assert plain.step(token) == reference.step([token])[0].tolist()


def saturating(model: QuantizedModel) -> QuantizedModel:
    """The model with such shifts and limits that nearly every activation passes its own."""

    def louder(linear: Linear) -> Linear:
        return linear._replace(rescale=linear.rescale._replace(shift=16))

    def layer(quiet: QuantizedLayer) -> QuantizedLayer:
        names = ("q", "k", "v", "o", "gate", "up", "down")
        limits = ("attention", "v", "feed_forward", "hidden")
        return dataclasses.replace(
            quiet,
            product_shift=1,
            **{name: louder(getattr(quiet, name)) for name in names},
            **{f"{name}_limit": 5000 + 1000 * i for i, name in enumerate(limits)},
        )

    return dataclasses.replace(
        model,
        layers=tuple(layer(quiet) for quiet in model.layers),
        final_limit=900,
        classifier=louder(model.classifier),
    )


@pytest.mark.parametrize(("seed", "int8_kv"), [(0, False), (1, False), (2, False), (3, True)])
def test_registers_hold_when_all_that_can_saturates(seed: int, int8_kv: bool) -> None:
    """Calibration never saw the text that a chip will run: nothing may rest on its ranges."""
    model = saturating(quantize(random_checkpoint(seed=seed)))
    model = narrow_caches(model) if int8_kv else model
    plain, reference = PlainModel(model), Reference(model)
    clipped = 0
    for token in TOKENS:
        logits = reference.step([token])[0].tolist()
        assert plain.step(token) == logits
        clipped += sum(abs(logit) == INT16_LIMIT for logit in logits)
    for values, name in ((reference.keys, "k_limit"), (reference.values, "v_limit")):
        for held, layer in zip(values, model.layers, strict=True):
            clipped += int((np.abs(held) == getattr(layer, name)).sum())
    assert clipped > 200


def test_a_batch_gives_what_its_sequences_give() -> None:
    model = quantize(random_checkpoint())
    batch = np.array([TOKENS, TOKENS[::-1], [39] * len(TOKENS)])
    together = Reference(model, batch=3).logits(batch)
    for sequence, logits in zip(batch, together, strict=True):
        assert np.array_equal(Reference(model).logits([sequence])[0], logits)
    assert len({logits.tobytes() for logits in together}) == 3


def test_a_shorter_cache_gives_the_same_logits() -> None:
    model = quantize(random_checkpoint())
    whole = Reference(model).logits([TOKENS])
    assert np.array_equal(Reference(model, context=len(TOKENS)).logits([TOKENS]), whole)


def test_steps_give_what_the_whole_sequence_gives() -> None:
    model = quantize(random_checkpoint())
    stepped = Reference(model)
    for token, logits in zip(TOKENS, Reference(model).logits([TOKENS])[0], strict=True):
        assert np.array_equal(stepped.step([token])[0], logits)
    assert stepped.position == len(TOKENS)


def agreement(checkpoint: Checkpoint, seed: int) -> tuple[float, float]:
    """Correlation of the reference's logits with the float model's, and top-1 agreement."""
    sequences = np.random.default_rng(seed).integers(0, TINY.vocab_size, (30, TINY.context))
    exact = FloatModel(checkpoint).logits(sequences)
    found = Reference(quantize(checkpoint), batch=len(sequences)).logits(sequences)
    correlation = np.corrcoef(exact.reshape(-1), found.reshape(-1))[0, 1]
    return float(correlation), float((exact.argmax(-1) == found.argmax(-1)).mean())


@pytest.mark.parametrize("seed", range(4))
def test_logits_agree_with_the_float_models(seed: int) -> None:
    correlation, top1 = agreement(random_checkpoint(seed=seed), seed)
    assert correlation > 0.9995
    assert top1 > 0.95


def test_logits_are_in_units_of_their_exponent() -> None:
    checkpoint = random_checkpoint()
    model = quantize(checkpoint)
    exact = FloatModel(checkpoint).logits([TOKENS])
    found = Reference(model).logits([TOKENS]) * 2.0**-model.logit_exponent
    assert np.abs(found - exact).max() < 0.03 * np.abs(exact).max()


def test_rounding_weights_is_the_largest_loss() -> None:
    """With weights that int8 holds exactly, only activations are rounded: far closer logits."""
    checkpoint = random_checkpoint()
    for name in ("wq", "wk", "wv", "wo", "w1", "w2", "w3", "embedding"):
        weight = getattr(checkpoint, name)
        step = np.abs(weight).max(axis=-1, keepdims=True) / 127
        weight[:] = np.round(weight / step) * step
    assert checkpoint.shared_classifier
    sequences = np.random.default_rng(3).integers(0, TINY.vocab_size, (30, TINY.context))
    exact = FloatModel(checkpoint).logits(sequences)
    model = quantize(checkpoint)
    found = Reference(model, 30).logits(sequences) * 2.0**-model.logit_exponent
    assert np.abs(found - exact).max() < 0.01 * np.abs(exact).max()
    assert (exact.argmax(-1) == found.argmax(-1)).mean() > 0.99
