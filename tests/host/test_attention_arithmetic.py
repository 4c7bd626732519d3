"""Weights and means of attention, gates and tables against an exact or real statement of each."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.model import arithmetic
from host.model.arithmetic import INT16_LIMIT
from host.model.quantization.layers import score_limits
from tests.host import registers
from tests.host.integers import int16s, seeds, unhurried

EXP = arithmetic.exp_table()
SIGMOID = arithmetic.sigmoid_table()


def scores_of(random: np.random.Generator, positions: int, reach: int) -> np.ndarray:
    """Scores of which some are the extremes."""
    scores = random.integers(-reach, reach + 1, positions)
    scores[random.integers(positions)] = reach
    scores[random.integers(positions)] = -reach
    return scores


counts = st.integers(1, 60) | st.sampled_from([255, 512, 1024, 4096, 8191, 8192])


@unhurried
@given(counts, st.integers(0, 30), seeds, st.integers(1, 30))
def test_attention_weights_are_a_softmax(positions: int, shift: int, seed: int, bits: int) -> None:
    scores = scores_of(np.random.default_rng(seed), positions, (1 << bits) - 1)
    weights = arithmetic.attention_weights(scores, shift, EXP)
    assert weights.tolist() == registers.attention_weights(scores.tolist(), shift, EXP.tolist())
    assert 1 << 13 < weights.sum() <= (1 << 15) + positions // 2
    powers = np.exp2((scores - scores.max()) / 2.0 ** (shift + 9))
    real = powers / powers.sum()
    # A step of the table is 1 / 512; a weight is cut and rounded by up to one and a half units.
    error = 0.003 * real + (1.5 + 1.5 * positions * real) / weights.sum()
    assert (np.abs(weights / weights.sum() - real) <= error).all()


@pytest.mark.parametrize("positions", [1, 2, 3, 1000, 4095, 4096, 8192])
def test_equal_scores_weigh_the_same(positions: int) -> None:
    weights = arithmetic.attention_weights(np.full(positions, -12345), 3, EXP)
    assert len(set(weights.tolist())) == 1
    assert weights[0] == 1 << 15 >> (positions - 1).bit_length()


def test_distances_beyond_sixteen_powers_weigh_nothing() -> None:
    scores = -np.array([0, 511, 512, 8191, 8192, 8193, 1 << 29])
    weights = arithmetic.attention_weights(scores, 0, EXP)
    assert weights.tolist() == [8192, 4102, 4096, 0, 0, 0, 0]


@unhurried
@given(counts, seeds, st.integers(1, 6), st.booleans(), st.integers(0, 12))
def test_weighted_means(
    positions: int, seed: int, head_dim: int, extreme: bool, bits: int
) -> None:
    random = np.random.default_rng(seed)
    scores = scores_of(random, positions, 1 << bits)
    weights = arithmetic.attention_weights(scores, 0, EXP)
    values = random.integers(-INT16_LIMIT, INT16_LIMIT + 1, (positions, head_dim))
    if extreme:
        values = np.where(np.arange(head_dim) % 2, INT16_LIMIT, -INT16_LIMIT) + 0 * values
    found = arithmetic.weighted_mean(weights, values)
    for column, mean in zip(values.T.tolist(), found.tolist(), strict=True):
        assert mean == registers.weighted_mean(weights.tolist(), column)
        total = sum(w * v for w, v in zip(weights.tolist(), column, strict=True))
        assert abs(Fraction(total, int(weights.sum())) - mean) <= Fraction(1, 2)
        assert min(column) <= mean <= max(column)


@given(int16s, int16s, st.integers(0, 30), st.integers(0, 30), st.integers(1, INT16_LIMIT))
def test_gating_in_registers(gate: int, up: int, index: int, shift: int, limit: int) -> None:
    found = arithmetic.swiglu(np.array([gate]), np.array([up]), index, shift, SIGMOID, limit)
    expected = registers.gated(gate, up, index, shift, SIGMOID.tolist(), limit)
    assert found.tolist() == [expected]


@given(int16s, int16s, st.integers(0, 8), st.integers(0, 30))
def test_gating_is_close_to_the_real_one(gate: int, up: int, index: int, shift: int) -> None:
    found = arithmetic.swiglu(np.array([gate]), np.array([up]), index, shift, SIGMOID, INT16_LIMIT)
    unit = 2.0 ** (index + 6)
    silu = gate / (1 + math.exp(-gate / unit))
    real = min(max(silu * up / 2**shift, -INT16_LIMIT), INT16_LIMIT)
    # The table is 0.003 off at most, at its ends; then two roundings.
    assert abs(found[0] - real) <= (0.003 * unit + 0.5) * abs(up) / 2**shift + 0.5


@pytest.mark.parametrize("gate", [-INT16_LIMIT, -(8 << 6)])
def test_a_gate_below_the_table_is_shut(gate: int) -> None:
    found = arithmetic.swiglu(np.array([gate]), np.array([30000]), 0, 0, SIGMOID, INT16_LIMIT)
    assert found.tolist() == [0]


def test_a_gate_above_the_table_is_open() -> None:
    gates = np.array([8 << 6, INT16_LIMIT])
    found = arithmetic.swiglu(gates, np.array([3, 1]), 0, 0, SIGMOID, INT16_LIMIT)
    assert found.tolist() == [3 * (8 << 6), INT16_LIMIT]


def test_tables_fit_sixteen_bits() -> None:
    for table in (EXP, SIGMOID):
        assert table.min() >= 0
        assert table.max() <= 1 << 15
    assert len(EXP) == 512
    assert len(SIGMOID) == 1024
    assert (EXP[0], EXP[256], SIGMOID[512]) == (32768, 23170, 16384)
    assert (SIGMOID[1:512] + SIGMOID[1023:512:-1] == 1 << 15)[1:].all()


@pytest.mark.parametrize("head_dim", [2, 4, 6, 8, 10, 48, 64, 100, 128, 192, 256, 4096])
def test_scores_fit_registers(head_dim: int) -> None:
    q_limit, k_limit = score_limits(head_dim)
    assert 0 < q_limit <= INT16_LIMIT
    assert 0 < k_limit <= INT16_LIMIT
    largest = registers.dot([q_limit] * head_dim, [k_limit] * head_dim)
    registers.register(largest - -largest)
    # No bit is given away but what head sizes between powers of two cost.
    assert largest > 0.99 * (1 << 30) * head_dim / (1 << (head_dim - 1).bit_length())
