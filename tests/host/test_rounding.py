"""Rounding whole matrices for their inputs: what products with these then differ by."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.model.float_model import FloatModel
from host.model.quantization import rounding
from host.model.quantization.quantize import quantize
from host.model.quantization.rounding import LARGEST, Moments, round_rows
from host.model.quantization.rows import Rounder, round_layer
from host.model.quantization.scales import Rows
from tests.host.quantized_limits import assert_limits
from tests.host.tiny import NORMED_HEADS, TINY, random_checkpoint


def draw_alike(columns: int, seed: int, count: int = 400) -> np.ndarray:
    """Inputs that lie, but for a hundredth, in few directions, as those of language models."""
    random = np.random.default_rng(seed)
    few = random.standard_normal((max(1, columns // 8), columns))
    inputs = random.standard_normal((count, len(few))) @ few
    return inputs + 0.01 * random.standard_normal(inputs.shape)


def draw_rows(columns: int, seed: int, count: int = 60) -> np.ndarray:
    """Rows of which each reaches LARGEST."""
    rows = np.random.default_rng(seed).standard_normal((count, columns))
    return rows * LARGEST / np.abs(rows).max(axis=1, keepdims=True)


def moments_of(inputs: np.ndarray) -> Moments:
    moments = Moments(inputs.shape[-1])
    for part in np.array_split(inputs, 3):
        moments.add(part)
    return moments


def cost(rounded: np.ndarray, rows: np.ndarray, inputs: np.ndarray) -> float:
    return float(np.mean((inputs @ (rounded - rows).T) ** 2))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 150), st.integers(0, 2**32 - 1))
def test_products_are_nearer_than_by_rounding_each_weight(columns: int, seed: int) -> None:
    rows, inputs = draw_rows(columns, seed), draw_alike(columns, seed)
    rounded = round_rows(rows, moments_of(inputs))
    assert np.array_equal(rounded, np.round(rounded))
    assert np.abs(rounded).max() <= LARGEST
    nearest = cost(np.round(rows), rows, inputs)
    # Also for inputs of the same kind that were not seen.
    others = draw_alike(columns, seed, 700)[400:]
    assert cost(rounded, rows, inputs) <= nearest * (0.5 if columns >= 16 else 1.2)
    assert cost(rounded, rows, others) <= cost(np.round(rows), rows, others) * (
        0.5 if columns >= 16 else 1.2
    )


def test_inputs_that_have_nothing_in_common_leave_each_weight_for_itself() -> None:
    rows = draw_rows(70, 1)
    assert np.array_equal(round_rows(rows, moments_of(np.diag(np.arange(1, 71)))), np.round(rows))
    # So do those of which nothing is known.
    assert np.array_equal(round_rows(rows, Moments(70)), np.round(rows))
    assert np.array_equal(round_rows(rows, moments_of(np.full((3, 70), np.inf))), np.round(rows))


def test_wide_matrices_are_rounded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, inputs = draw_rows(100, 2), draw_alike(100, 2)
    monkeypatch.setattr(rounding, "WIDEST", 34)
    rounded = round_rows(rows, moments_of(inputs))
    first = round_rows(rows[:, :33], moments_of(inputs[:, :33]))
    assert np.array_equal(rounded[:, :33], first)
    assert cost(rounded, rows, inputs) < cost(np.round(rows), rows, inputs)


@pytest.mark.parametrize("config", [TINY, NORMED_HEADS, replace(TINY, hidden_dim=12)])
def test_every_matrix_of_a_model_is_rounded_for_its_inputs(config) -> None:  # type: ignore[no-untyped-def]
    weights = random_checkpoint(config)
    weights.w1[0, 3] = 0
    model, rounder = FloatModel(weights), Rounder(weights)
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, (3, 8))
    ranges = model.measure_ranges(tokens, rounder.finish_layer, rounder.observe)
    rows = rounder.finish()
    quantized = quantize(weights, ranges, rows)
    assert_limits(quantized)
    assert len(rows.layers) == config.layers
    for index, found in enumerate(rows.layers):
        nearest = round_layer(weights.layer(index))
        assert found.keys() == nearest.keys()
        for name, each in found.items():
            assert np.array_equal(each.scale, nearest[name].scale)
            assert not np.array_equal(each.weight, nearest[name].weight), name
            norms = np.abs(each.weight.astype(int)).sum(axis=1)
            assert each.largest_norm == norms.max()
    assert (rows.layers[0]["w1"].weight[3] == 0).all()
    assert np.array_equal(quantized.classifier.weight, rows.classifier.weight)
    assert not np.array_equal(rows.classifier.weight, Rows(weights.classifier).weight)
    assert np.array_equal(quantized.layers[1].down.weight, rows.layers[1]["w2"].weight)
