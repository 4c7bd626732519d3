"""Weights in groups of four bits: packing, exact sums, rounding, quantizing, files, commands."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.model import arithmetic
from host.model.arithmetic import ACCUMULATOR_LIMIT, INT16_LIMIT
from host.model.float_model import FloatModel
from host.model.groups import COLUMNS, LEVELS, MOST_LEAST, MOST_STEP, MOST_WEIGHT, pack, unpack
from host.model.quantization.copies import CopiedUnits, choose_copies
from host.model.quantization.group_rows import GroupRows, _choose_levels, find_grouped
from host.model.quantization.massive import calibrate
from host.model.quantization.quantize import quantize, sample_calibration
from host.model.quantization.rounding import Moments, round_rows
from host.model.quantized import Linear
from host.model.reference import Reference
from host.parallel.layers import RowParallelLinear
from tests.host.grouped_models import (
    CONFIG,
    MATRICES,
    draw_packed,
    grouped_checkpoint,
    grouped_model,
)
from tests.host.test_reference import TOKENS, PlainModel
from tests.host.tiny import random_checkpoint

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 4), st.integers(1, 4))
def test_packed_weights_come_back(seed: int, rows: int, groups: int) -> None:
    """Whatever step stands for the same weights."""
    weight = unpack(*draw_packed(np.random.default_rng(seed), rows, groups))
    numbers, steps, leasts = pack(weight)
    assert numbers.min() >= 0 and numbers.max() < LEVELS
    assert steps.min() >= 0 and steps.max() <= MOST_STEP and np.abs(leasts).max() <= MOST_LEAST
    np.testing.assert_array_equal(unpack(numbers, steps, leasts), weight)


@pytest.mark.parametrize("wrong", [[0, 1, 100], [0, 64], [-512, 0], [0, 16, 1], [1024]])
def test_weights_on_other_values_cannot_be_packed(wrong: list[int]) -> None:
    weight = np.zeros((2, 2 * COLUMNS), np.int16)
    weight[1, COLUMNS : COLUMNS + len(wrong)] = wrong
    if wrong == [0, 64]:  # one step of 64, or two of 32
        weight[1, COLUMNS + 2] = 16 * 64
    with pytest.raises(ValueError, match="group 1 of row 1"):
        pack(weight)
    with pytest.raises(ValueError, match="33 columns"):
        pack(np.zeros((1, 33), np.int16))


@settings(deadline=None)
@given(seeds, st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_sums_of_groups_are_exact_in_32_bits(
    seed: int, rows: int, groups: int, is_extreme: bool
) -> None:
    """As a chip computes them, of numbers, steps and least values, one product at a time."""
    random = np.random.default_rng(seed)
    numbers, steps, leasts = draw_packed(random, rows, groups)
    x = random.integers(-INT16_LIMIT, INT16_LIMIT + 1, groups * COLUMNS)
    if is_extreme:
        numbers[:], steps[:] = LEVELS - 1, MOST_STEP
        x, leasts = np.full_like(x, INT16_LIMIT), np.full_like(leasts, MOST_WEIGHT - 15 * 63)
    expected = []
    for row in range(rows):
        total = 0
        for group in range(groups):
            own = slice(group * COLUMNS, (group + 1) * COLUMNS)
            multiplied = int(steps[row, group]) * int(numbers[row, own] @ x[own])
            moved = int(leasts[row, group]) * int(x[own].sum())
            assert max(abs(multiplied), abs(moved), abs(multiplied + moved + 2)) < 1 << 31
            total += multiplied + moved + 2 >> 2
        expected.append(total)
    found = arithmetic.grouped_matvec(unpack(numbers, steps, leasts), np.array([x]))
    assert found.tolist() == [expected]


@given(seeds, st.integers(1, 4))
def test_norms_bound_sums(seed: int, groups: int) -> None:
    """Also of the signs of a row's weights, with which its sum is largest."""
    random = np.random.default_rng(seed)
    linear = Linear(unpack(*draw_packed(random, 3, groups)), arithmetic.Rescale(np.ones(3), 16))
    for limit in (1, 3, 1000, INT16_LIMIT):
        x = np.where(linear.weight < 0, -limit, limit).astype(np.int64)
        assert np.abs(linear.product(x)).max() <= linear.largest_norm() * limit


@given(seeds)
def test_parts_of_whole_groups_add_up_to_the_same(seed: int) -> None:
    random = np.random.default_rng(seed)
    linear = Linear(
        unpack(*draw_packed(random, 5, 4)), arithmetic.Rescale(np.full(5, 1 << 14), 16)
    )
    x = random.integers(-INT16_LIMIT, INT16_LIMIT + 1, (2, 4 * COLUMNS))
    order = random.permutation(4)
    columns = np.arange(4 * COLUMNS).reshape(4, -1)
    owned = [columns[own].reshape(-1) for own in (order[:1], order[1:], order[:0])]
    parts = RowParallelLinear.split(linear, owned).partial_sums(x)
    np.testing.assert_array_equal(sum(parts), linear.product(x))


@pytest.mark.parametrize("with_moments", [False, True])
def test_even_values_of_a_file_are_kept(with_moments: bool) -> None:
    """Each weight is on its group's values, and next to what it was; rows' scales are real."""
    weight = grouped_checkpoint().w1[0]
    moments = None
    if with_moments:
        moments = Moments(CONFIG.dim)
        moments.add(np.random.default_rng(0).standard_normal((64, CONFIG.dim)))
    rows = GroupRows(weight, moments)
    pack(rows.weight)
    kept = rows.weight * (rows.scale / 4)[:, None]
    if not with_moments:
        assert np.abs(kept - weight).max() < np.abs(weight).max() / 200
    nearest = GroupRows(weight).weight * (rows.scale / 4)[:, None]
    inputs = np.random.default_rng(0).standard_normal((64, CONFIG.dim))
    errors = [np.square(inputs @ (each - weight).T).sum() for each in (kept, nearest)]
    assert errors[0] <= errors[1]
    assert rows.input_limit() * rows.largest_norm <= ACCUMULATOR_LIMIT


@given(seeds, st.integers(1, 3))
def test_columns_with_large_inputs_weigh_most(seed: int, spread: int) -> None:
    random = np.random.default_rng(seed)
    weight = grouped_checkpoint(seed=seed % 8).w1[0]
    large = 4.0 ** random.integers(-spread, spread + 1, CONFIG.dim)
    moments = Moments(CONFIG.dim)
    moments.add(random.standard_normal((64, CONFIG.dim)) * large)
    weights = moments.weigh_columns()
    errors = []
    for chosen in (weights, np.ones(CONFIG.dim)):
        unit, levels = _choose_levels(weight.astype(float), chosen)
        kept = round_rows(weight / unit[:, None], None, levels) * unit[:, None]
        errors.append((np.square(kept - weight) * weights).sum())
    assert errors[0] < errors[1]


def test_only_matrices_in_groups_are_found() -> None:
    checkpoint = grouped_checkpoint()
    assert find_grouped(checkpoint) == frozenset(MATRICES)
    assert find_grouped(random_checkpoint(CONFIG)) == frozenset()
    # All of a set, in all layers.
    checkpoint.wk[1] = random_checkpoint(CONFIG).wk[1]
    assert find_grouped(checkpoint) == frozenset(MATRICES) - {"wq", "wk", "wv"}
    # Whole heads and whole groups of units.
    narrow = replace(CONFIG, heads=4, kv_heads=2, head_dim=16)
    assert find_grouped(grouped_checkpoint(narrow)) == frozenset(MATRICES) - {"wo"}


@pytest.mark.parametrize("seed", range(2))
def test_logits_equal_those_of_registers_and_are_near_to_floats(seed: int) -> None:
    checkpoint = grouped_checkpoint(seed=seed)
    model = grouped_model(checkpoint)
    assert model.config.grouped == frozenset(MATRICES)
    assert {str(layer.down.weight.dtype) for layer in model.layers} == {"int16"}
    logits = Reference(model).logits([TOKENS])[0]
    plain = PlainModel(model)
    for token, expected in zip(TOKENS, logits.tolist(), strict=True):
        assert plain.step(token) == expected
    floats = FloatModel(checkpoint).logits(TOKENS)
    np.testing.assert_allclose(logits * 2.0**-model.logit_exponent, floats, atol=0.3)


def test_massive_units_get_copies_behind_and_the_stream_gets_coarser() -> None:
    checkpoint = grouped_checkpoint()
    checkpoint.w1[0, 5], checkpoint.w3[0, 5] = 20 * checkpoint.w1[0, 6], 20 * checkpoint.w3[0, 6]
    checkpoint.w2[0, :, 5] *= 40
    model = FloatModel(checkpoint)
    grouped = find_grouped(checkpoint) | {"w2"}
    form, ranges, rows = calibrate(checkpoint, model, sample_calibration(model), grouped=grouped)
    assert isinstance(form, CopiedUnits) and form.config.hidden_dim % COLUMNS == 0
    np.testing.assert_allclose(FloatModel(form).logits(TOKENS), model.logits(TOKENS), rtol=1e-4)
    found = quantize(form, ranges, rows)
    drops = [(layer.o_drop, layer.down_drop) for layer in found.layers]
    assert drops[0][1] and drops[1] == (None, None)
    for layer in found.layers:
        pack(layer.down.weight.astype(np.int16))


def test_copies_behind_leave_the_units_before_as_they_are() -> None:
    checkpoint = grouped_checkpoint()
    peaks = np.ones((2, CONFIG.hidden_dim))
    peaks[:, 3] = 9.0
    copies = choose_copies(peaks, np.ones(2), COLUMNS)
    assert copies.sum(axis=1).tolist() == [CONFIG.hidden_dim + COLUMNS] * 2
    behind = CopiedUnits(checkpoint, copies, behind=True)
    beside = CopiedUnits(checkpoint, copies)
    assert behind.digest() != beside.digest()
    np.testing.assert_array_equal(behind.layer(0)["w2"][:, : CONFIG.hidden_dim], checkpoint.w2[0])
    logits = [FloatModel(form).logits(TOKENS) for form in (behind, beside, checkpoint)]
    np.testing.assert_allclose(logits[0], logits[2], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits[1], logits[2], rtol=1e-4, atol=1e-5)
