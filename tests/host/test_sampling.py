"""Sampling: greedy, temperature, nucleus, seeds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.executors.logits import keep_candidates
from host.model.sampling import LARGE_VOCABULARY, Sampler, list_candidates, softmax
from protocol.messages import MOST_CANDIDATES

PROBABILITIES = np.array([0.1, 0.4, 0.05, 0.3, 0.15])
LOGITS = np.log(PROBABILITIES) + 3


def _frequencies(sampler: Sampler, logits: np.ndarray, draws: int = 4000) -> np.ndarray:
    tokens = [sampler.choose(logits) for _ in range(draws)]
    return np.bincount(tokens, minlength=len(logits)) / draws


def test_softmax_sums_to_one_and_does_not_overflow() -> None:
    scores = np.array([[1e4, 1e4, -np.inf], [0.0, np.log(3), -1e4]])
    np.testing.assert_allclose(softmax(scores), [[0.5, 0.5, 0], [0.25, 0.75, 0]])


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=20))
def test_greedy_takes_the_largest_and_the_lowest_of_equals(logits: list[int]) -> None:
    token = Sampler().choose(np.array(logits, dtype=np.int16))
    assert token == logits.index(max(logits))


def test_temperature_one_draws_by_probability() -> None:
    frequencies = _frequencies(Sampler(temperature=1.0, seed=1), LOGITS)
    np.testing.assert_allclose(frequencies, PROBABILITIES, atol=0.04)


def test_temperature_flattens_and_sharpens() -> None:
    for temperature in (0.5, 2.0):
        expected = PROBABILITIES ** (1 / temperature)
        frequencies = _frequencies(Sampler(temperature=temperature, seed=1), LOGITS)
        np.testing.assert_allclose(frequencies, expected / expected.sum(), atol=0.04)


def test_integer_logits_are_drawn_as_their_values() -> None:
    logits = np.array([0, 2, 1], dtype=np.int16)
    whole, real = Sampler(1.0, 0.99, seed=4), Sampler(1.0, 0.99, seed=4)
    assert [whole.choose(logits) for _ in range(50)] == [
        real.choose(logits.astype(float)) for _ in range(50)
    ]


@pytest.mark.parametrize(
    ("top_p", "nucleus"),
    # Cumulated from the most probable down: 0.4, 0.7, 0.85, 0.95, 1.
    [(0.01, [1]), (0.39, [1]), (0.5, [1, 3]), (0.75, [1, 3, 4]), (0.9, [1, 3, 4, 0])],
)
def test_top_p_draws_from_the_smallest_set_beyond_it(top_p: float, nucleus: list[int]) -> None:
    expected = np.zeros(5)
    expected[nucleus] = PROBABILITIES[nucleus] / PROBABILITIES[nucleus].sum()
    frequencies = _frequencies(Sampler(1.0, top_p, seed=2), LOGITS)
    assert set(np.flatnonzero(frequencies)) == set(nucleus)
    np.testing.assert_allclose(frequencies, expected, atol=0.04)


def test_top_p_keeps_the_lowest_of_equal_tokens() -> None:
    # Four of 256 equal tokens are top-p exactly, which is not beyond it: the fifth is in.
    sampler = Sampler(1.0, 4 / 256, seed=0)
    assert {sampler.choose(np.zeros(256)) for _ in range(200)} == {0, 1, 2, 3, 4}
    # Odd tokens have probability e / (128 (1 + e)) = 0.0057.
    sampler = Sampler(1.0, 0.02, seed=0)
    assert {sampler.choose(np.tile([0.0, 1.0], 128)) for _ in range(200)} == {1, 3, 5, 7}


@given(
    st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=30),
    st.floats(1e-3, 1e3),
    st.floats(1e-6, 1.0),
)
def test_every_choice_is_a_token(logits: list[float], temperature: float, top_p: float) -> None:
    assert 0 <= Sampler(temperature, top_p, seed=5).choose(np.array(logits)) < len(logits)


@pytest.mark.parametrize("temperature", [1e-3, 1e-300, 5e-324])
def test_the_lowest_temperatures_take_the_likeliest(temperature: float) -> None:
    logits = np.array([3.0, 250.0, 250.0, -7.0, 249.0])
    sampler = Sampler(temperature, 0.9, seed=2)
    assert {sampler.choose(logits) for _ in range(50)} == {1, 2}
    assert {sampler.choose(logits[2:]) for _ in range(50)} == {0}


def test_a_seed_repeats_its_choices_and_others_differ() -> None:
    def choices(seed: int) -> list[int]:
        sampler = Sampler(1.0, 0.9, seed)
        return [sampler.choose(LOGITS) for _ in range(100)]

    assert choices(7) == choices(7)
    assert choices(7) != choices(8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-0.1,), "temperature must be 0 or more, got -0.1"),
        ((float("nan"),), "temperature must be 0 or more, got nan"),
        ((float("inf"),), "temperature must be 0 or more, got inf"),
        ((1.0, 0.0), "top-p must be in (0, 1], got 0.0"),
        ((1.0, 1.5), "top-p must be in (0, 1], got 1.5"),
        ((1.0, float("nan")), "top-p must be in (0, 1], got nan"),
        ((1.0, 0.9, -1), "seed must be 0 or more, got -1"),
    ],
)
def test_arguments_out_of_range(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Sampler(*arguments)
    assert str(caught.value) == message


def _hidden(logits: np.ndarray, chips: int) -> np.ndarray:
    """What so many chips give of logits [vocab]: each the candidates among its rows."""
    parts = [keep_candidates(part[None])[0] for part in np.array_split(logits, chips)]
    return np.concatenate(parts)


@given(
    st.integers(LARGE_VOCABULARY + 1, LARGE_VOCABULARY + 300), st.integers(1, 7),
    st.sampled_from([(1.0, 0), (0.9, 0), (1.0, 40), (0.5, 100)]), st.integers(0, 1 << 30),
    st.sampled_from([3, 60, 20_000]),
)  # fmt: skip
def test_of_large_vocabularies_chips_give_all_that_is_looked_at(
    size: int, chips: int, limits: tuple[float, int], seed: int, spread: int
) -> None:
    logits = np.random.default_rng(seed).integers(-spread, spread, size)
    given_by_chips = _hidden(logits, chips)
    candidates = list_candidates(logits, MOST_CANDIDATES)
    assert (list_candidates(given_by_chips, MOST_CANDIDATES) == candidates).all()
    order = sorted(range(size), key=lambda token: (-logits[token], token))
    assert candidates.tolist() == order[:MOST_CANDIDATES]
    top_p, top_k = limits
    scale = 2.0**-4
    for temperature in (0.0, 0.7, 3.0):
        whole, hidden = (Sampler(temperature, top_p, seed, top_k) for _ in range(2))
        for _ in range(3):
            token = whole.choose(logits * scale)
            assert token == hidden.choose(given_by_chips * scale)
            assert token in candidates[: top_k or None]


def test_up_to_a_size_tokens_are_drawn_among_all() -> None:
    logits = np.zeros(LARGE_VOCABULARY)
    tokens = {Sampler(1.0, seed=seed).choose(logits) for seed in range(200)}
    assert max(tokens) > MOST_CANDIDATES
    more = np.zeros(LARGE_VOCABULARY + 1)
    tokens = {Sampler(1.0, seed=seed).choose(more) for seed in range(200)}
    assert max(tokens) < MOST_CANDIDATES
