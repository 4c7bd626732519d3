"""Products, norms and rope against an exact or real statement of each, in registers of 32 bits."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.model import arithmetic
from host.model.arithmetic import ACCUMULATOR_LIMIT, INT16_LIMIT, RESIDUAL_LIMIT, Gain, Rescale
from tests.host import registers
from tests.host.integers import int16s, seeds, symmetric, unhurried

ROPE = arithmetic.rope_table(arithmetic.rope_steps(8, 10000.0), 4096)
accumulators = symmetric(ACCUMULATOR_LIMIT)
multipliers = st.integers(0, INT16_LIMIT) | st.sampled_from([0, 1, INT16_LIMIT])
shifts = st.integers(16, 45)


def half_up(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


@given(accumulators, multipliers, shifts)
def test_rescaling_is_exact(accumulator: int, multiplier: int, shift: int) -> None:
    rescale = Rescale(np.array([multiplier]), shift)
    (value,) = arithmetic.rescale(np.array([accumulator]), rescale)
    assert value == half_up(Fraction(accumulator * multiplier, 1 << shift))
    assert value == registers.rescaled(accumulator, multiplier, shift)


def test_halves_are_rounded_up_below_zero_too() -> None:
    rescale = Rescale(np.full(6, 1 << 14), 16)  # a quarter
    accumulators = np.array([-6, -2, -1, 1, 2, 6])
    assert arithmetic.rescale(accumulators, rescale).tolist() == [-1, 0, 0, 0, 1, 2]


@given(st.lists(symmetric(1 << 40)), st.integers(0, 1 << 30))
def test_saturation_is_symmetric(values: list[int], limit: int) -> None:
    expected = [min(max(value, -limit), limit) for value in values]
    assert arithmetic.saturate(np.array(values, np.int64), limit).tolist() == expected


@given(symmetric(RESIDUAL_LIMIT), accumulators, multipliers, shifts, st.integers(0, 30))
def test_the_residual_stream_saturates(
    residual: int, accumulator: int, multiplier: int, shift: int, drop: int
) -> None:
    rescale = Rescale(np.array([multiplier]), shift)
    given = np.array([residual]), np.array([accumulator]), rescale
    (value,) = arithmetic.add_residual(*given, drop)
    added = half_up(Fraction(accumulator * multiplier, 1 << shift))
    exact = half_up(Fraction(residual, 1 << drop)) + added
    assert value == min(max(exact, -(2**24) + 1), 2**24 - 1)
    assert value == registers.residual_sum(residual, accumulator, multiplier, shift, drop)
    (value,) = arithmetic.add_residual(*given)
    assert value == min(max(residual + added, -(2**24) + 1), 2**24 - 1)


@unhurried
@given(st.integers(1, 300), st.integers(1, 5), seeds, st.booleans())
def test_products_with_a_matrix_are_exact(
    columns: int, rows: int, seed: int, extreme: bool
) -> None:
    random = np.random.default_rng(seed)
    weight = random.integers(-127, 128, (rows, columns)).astype(np.int8)
    if extreme:
        weight = np.where(weight < 0, -127, 127).astype(np.int8)
    limit = min(INT16_LIMIT, ACCUMULATOR_LIMIT // (127 * columns))
    x = random.integers(-limit, limit + 1, (2, columns))
    x[0] = np.where(weight[0] < 0, -limit, limit)
    expected = [[registers.dot(row, one) for row in weight.tolist()] for one in x.tolist()]
    assert arithmetic.matvec(weight, x).tolist() == expected


def test_the_widest_product_is_exact() -> None:
    weight = np.full((1, 8456), 127, np.int8)  # rows beyond this do not keep a 10-bit input
    x = np.full((1, 8456), 999)
    assert arithmetic.matvec(weight, x).tolist() == [[8456 * 127 * 999]]
    assert 8456 * 127 * 999 < ACCUMULATOR_LIMIT < 8456 * 127 * 1001


VECTORS = {
    "zero": lambda random, dim: np.zeros(dim, np.int64),
    "largest": lambda random, dim: np.where(random.random(dim) < 0.5, -1, 1) * RESIDUAL_LIMIT,
    "one hot": lambda random, dim: (
        np.eye(1, dim, random.integers(dim), dtype=np.int64)[0]
        * random.choice([-1, 1])
        * random.choice([1, 300, 1 << 15, RESIDUAL_LIMIT])
    ),
    "tiny": lambda random, dim: random.integers(-2, 3, dim),
    "normal": lambda random, dim: np.clip(
        random.standard_normal(dim) * 2.0 ** random.integers(1, 24),
        -RESIDUAL_LIMIT,
        RESIDUAL_LIMIT,
    ).astype(np.int64),
}
dims = st.integers(1, 130) | st.sampled_from([255, 256, 257, 288, 1000, 2048, 4095, 4096])


@pytest.mark.parametrize("kind", sorted(VECTORS))
@unhurried
@given(
    dim=dims,
    seed=seeds,
    shift=st.integers(15, 29),
    epsilon=st.integers(0, (1 << 30) - 1) | st.sampled_from([0, (1 << 30) - 1]),
    limit=st.sampled_from([100, 14000, INT16_LIMIT]),
)
def test_norms_in_registers(
    kind: str, dim: int, seed: int, shift: int, epsilon: int, limit: int
) -> None:
    random = np.random.default_rng(seed)
    residual = VECTORS[kind](random, dim)
    multiplier = random.integers(-INT16_LIMIT, INT16_LIMIT + 1, dim)
    multiplier[random.integers(dim)] = random.choice([-INT16_LIMIT, INT16_LIMIT])
    gain = Gain(multiplier, shift, epsilon)
    expected = registers.rms_normalized(
        residual.tolist(), multiplier.tolist(), shift, epsilon, limit
    )
    assert arithmetic.rms_normalize(residual, gain, limit).tolist() == expected


def real_norm(residual: np.ndarray, gain: Gain) -> tuple[np.ndarray, np.ndarray]:
    """RMSNorm in real numbers, and how far from it rounding may lead.

    Relative to the output: the sum of squares loses up to 1 for each element, and what rounding
    to 15 bits does to it; the root and its reciprocal lose 14 bits each. In normalized units: half
    for rounding to 15 bits, half for rounding the normalized value. At the end, half a unit.
    """
    dim = len(residual)
    spread = 1 << (dim - 1).bit_length()
    drop = max(int(np.abs(residual).max()).bit_length() - 15, 0)
    squares = np.sum(residual.astype(float) ** 2) + gain.epsilon
    exact = residual / math.sqrt(squares / spread) * gain.multiplier * 2.0 ** (14 - gain.shift)
    v, total = residual / 2**drop, squares / 4**drop / spread
    lost = (np.abs(v).sum() + dim) / spread + dim + 1
    unit = 2.0 ** ((31 - math.log2(total)) / 2 - gain.shift)
    error = np.abs(exact) * (lost / total + 2**-13) + np.abs(gain.multiplier) * unit + 0.5
    return exact, error


@pytest.mark.parametrize("kind", ["largest", "one hot", "normal"])
@unhurried
@given(dim=dims, seed=seeds, shift=st.integers(15, 29))
def test_norms_are_close_to_real_ones(kind: str, dim: int, seed: int, shift: int) -> None:
    random = np.random.default_rng(seed)
    residual = VECTORS[kind](random, dim)
    # Epsilon as it is where the residual's unit is 2**-13 and the model's epsilon 1e-5.
    gain = Gain(random.integers(-INT16_LIMIT, INT16_LIMIT + 1, dim), shift, 671 * dim)
    exact, error = real_norm(residual, gain)
    found = arithmetic.rms_normalize(residual, gain, INT16_LIMIT)
    exact = np.clip(exact, -INT16_LIMIT, INT16_LIMIT)
    assert (np.abs(found - exact) <= error).all()


def test_norms_of_ordinary_vectors_keep_twelve_bits() -> None:
    random = np.random.default_rng(5)
    for dim in (64, 172, 288, 768):
        residual = (random.standard_normal((20, dim)) * 2**18).astype(np.int64)
        gain = Gain(np.full(dim, 1 << 14), 16, 0)
        found = arithmetic.rms_normalize(residual, gain, INT16_LIMIT)
        exact = np.stack([real_norm(one, gain)[0] for one in residual])
        assert np.abs(exact).max() > 8000
        assert (np.abs(found - exact) <= np.abs(exact) * 2**-12 + 1.5).all()


def test_rows_are_normalized_one_by_one() -> None:
    random = np.random.default_rng(1)
    residual = np.stack([VECTORS[kind](random, 24) for kind in sorted(VECTORS)])
    gain = Gain(random.integers(-INT16_LIMIT, INT16_LIMIT + 1, 24), 15, 12345)
    rows = arithmetic.rms_normalize(residual, gain, INT16_LIMIT)
    for one, row in zip(residual, rows, strict=True):
        assert (arithmetic.rms_normalize(one, gain, INT16_LIMIT) == row).all()


def test_rounding_up_to_sixteen_bits_is_held_back() -> None:
    # 2**24 - 1 is brought to 15 bits by 9 places, where it would round to 2**15.
    gain = Gain(np.array([1 << 14, 1 << 14]), 16, 0)
    residual = np.array([RESIDUAL_LIMIT, -RESIDUAL_LIMIT])
    assert arithmetic.rms_normalize(residual, gain, INT16_LIMIT).tolist() == [4096, -4096]


@given(int16s, int16s, st.integers(0, 4095), st.sampled_from([100, 8191, INT16_LIMIT]))
def test_rotation(even: int, odd: int, position: int, limit: int) -> None:
    even, odd = min(max(even, -limit), limit), min(max(odd, -limit), limit)
    cosine, sine = arithmetic.rope_row(ROPE, position)
    pairs = np.array([even, odd] * 4)
    found = arithmetic.rotate(pairs, cosine, sine, limit)
    expected = [
        value
        for c, s in zip(cosine.tolist(), sine.tolist(), strict=True)
        for value in registers.rotated(even, odd, c, s, limit)
    ]
    assert found.tolist() == expected
    angles = position * 10000.0 ** -(np.arange(4) / 4)
    turned = (even + 1j * odd) * np.exp(1j * angles)
    real = np.clip(np.stack([turned.real, turned.imag], -1).reshape(-1), -limit, limit)
    assert (np.abs(found - real) <= math.hypot(even, odd) * 2**-12.5 + 0.5).all()


@pytest.mark.parametrize("head_dim", [2, 8, 48, 64])
@pytest.mark.parametrize("theta", [10000.0, 500000.0])
def test_rope_rows_of_every_position(head_dim: int, theta: float) -> None:
    steps = arithmetic.rope_steps(head_dim, theta)
    table = arithmetic.rope_table(steps, 4096)
    assert table.shape == (32 + 128, head_dim // 2, 2)
    assert np.abs(table).max() <= 1 << 14  # a chip keeps them in 16 bits
    rows = np.stack([np.stack(arithmetic.rope_row(table, p), -1) for p in range(4096)])
    angles = np.outer(np.arange(4096), theta ** -(np.arange(0, head_dim, 2) / head_dim))
    real = np.stack([np.cos(angles), np.sin(angles)], -1)
    assert np.abs(rows / 2**14 - real).max() < 2**-13
    plain = registers.rope_table(steps.tolist(), 4096)
    assert table.tolist() == [[list(pair) for pair in row] for row in plain]
    for position in (0, 1, 31, 32, 33, 2047, 4095):
        pairs = [list(pair) for pair in registers.rope_row(plain, position)]
        assert rows[position].tolist() == pairs


@pytest.mark.parametrize("context", [1, 31, 32, 33, 64, 65])
def test_a_rope_table_has_the_rows_of_its_context(context: int) -> None:
    steps = arithmetic.rope_steps(4, 10000.0)
    table = arithmetic.rope_table(steps, context)
    assert len(table) == 32 + math.ceil(context / 32)
    longer = arithmetic.rope_table(steps, 1000)
    assert (table == longer[: len(table)]).all()
    for position in range(context):
        row, same = (arithmetic.rope_row(t, position) for t in (table, longer))
        assert np.array_equal(row, same)


def test_rope_entries_do_not_drift() -> None:
    # Entries are rounded to 2**-14: an error of 2**-15 is that, the rest is the drift.
    steps = arithmetic.rope_steps(64, 10000.0)
    far = arithmetic.rope_table(steps, 10_000)[32:]
    angles = np.outer(np.arange(0, 10_000, 32), 10000.0 ** -(np.arange(32) / 32))
    real = np.stack([np.cos(angles), np.sin(angles)], -1)
    assert np.abs(far / 2**14 - real).max() < 2**-15 + 2**-16
