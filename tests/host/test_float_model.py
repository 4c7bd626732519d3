"""The float forward pass against a scalar restatement of it, and against the C program."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from host.errors import ModelError
from host.model import float_model
from host.model.checkpoint import Checkpoint
from host.model.float_model import FloatModel, perplexity
from host.model.float_text import sample_sequences
from host.model.formats import llama2c
from host.model.ranges import Ranges
from host.model.sampling import softmax
from host.model.tokenizers.bpe import BOS, BpeTokenizer
from host.model.tokenizers.text import TextStream
from tests.host.tiny import TINY, random_checkpoint
from tests.tiny_model import tiny_checkpoint

TOKENS = [1, 7, 39, 0, 7, 21, 5, 5, 12]


@pytest.fixture(scope="module")
def stories(shared_models: Path) -> FloatModel:
    return FloatModel(llama2c.load(shared_models / "stories260K.bin"))


@pytest.fixture(scope="module")
def evaluation(shared_models: Path) -> np.ndarray:
    return np.load(shared_models / "stories260K.eval.npy")


def _norm(x: list[float], weight: np.ndarray) -> list[float]:
    scale = 1 / math.sqrt(sum(v * v for v in x) / len(x) + 1e-5)
    return [float(w) * v * scale for v, w in zip(x, weight, strict=True)]


def _product(matrix: np.ndarray, x: list[float]) -> list[float]:
    return [sum(float(w) * v for w, v in zip(row, x, strict=True)) for row in matrix]


def _turned(x: list[float], position: int, head_dim: int) -> list[float]:
    """Each adjacent pair of each head, turned by position * 10000 ** (-place / head size)."""
    out = []
    for i in range(0, len(x), 2):
        angle = position * 10000 ** (-(i % head_dim) / head_dim)
        cos, sin = math.cos(angle), math.sin(angle)
        out += [x[i] * cos - x[i + 1] * sin, x[i] * sin + x[i + 1] * cos]
    return out


def _scalar_run(weights: Checkpoint, tokens: list[int]) -> tuple[list[list[float]], Ranges]:
    """Logits and ranges, one number at a time, as run.c computes them."""
    config = weights.config
    size, sharing = config.head_dim, config.heads // config.kv_heads
    ranges = Ranges(config.layers)

    def seen(site: str, layer: int, values: list[float]) -> list[float]:
        ranges.observe(site, layer, np.array(values))
        return values

    cache: list[list[tuple[list[float], list[float]]]] = [[] for _ in range(config.layers)]
    logits = []
    for position, token in enumerate(tokens):
        x = seen("residual", -1, [float(v) for v in weights.embedding[token]])
        for layer in range(config.layers):
            normed = seen("attention_input", layer, _norm(x, weights.attention_norm[layer]))
            q = seen("q", layer, _product(weights.wq[layer], normed))
            k = seen("k", layer, _product(weights.wk[layer], normed))
            v = seen("v", layer, _product(weights.wv[layer], normed))
            q = seen("rotated_q", layer, _turned(q, position, size))
            k = seen("rotated_k", layer, _turned(k, position, size))
            cache[layer].append((k, v))
            heads: list[float] = []
            for head in range(config.heads):
                own = q[head * size : (head + 1) * size]
                shared = slice(head // sharing * size, (head // sharing + 1) * size)
                powers = [
                    math.exp(sum(map(float.__mul__, own, key[shared])) / math.sqrt(size))
                    for key, _ in cache[layer]
                ]
                for i in range(size):
                    mixed = sum(
                        power * value[shared][i]
                        for power, (_, value) in zip(powers, cache[layer], strict=True)
                    )
                    heads.append(mixed / sum(powers))
            seen("attention_output", layer, heads)
            x = [a + b for a, b in zip(x, _product(weights.wo[layer], heads), strict=True)]
            seen("residual", -1, x)
            normed = seen("ffn_input", layer, _norm(x, weights.ffn_norm[layer]))
            gate = seen("gate", layer, _product(weights.w1[layer], normed))
            up = seen("up", layer, _product(weights.w3[layer], normed))
            hidden = [g / (1 + math.exp(-g)) * u for g, u in zip(gate, up, strict=True)]
            seen("hidden", layer, hidden)
            x = [a + b for a, b in zip(x, _product(weights.w2[layer], hidden), strict=True)]
            seen("residual", -1, x)
        normed = seen("final", -1, _norm(x, weights.final_norm))
        logits.append(seen("logits", -1, _product(weights.classifier, normed)))
    return logits, ranges


@pytest.mark.parametrize("shared", [True, False])
def test_logits_equal_the_scalar_computation(shared: bool) -> None:
    checkpoint = random_checkpoint(shared=shared)
    expected, _ = _scalar_run(checkpoint, TOKENS)
    logits = FloatModel(checkpoint).logits(TOKENS)
    assert logits.shape == (len(TOKENS), TINY.vocab_size)
    assert np.abs(logits).max() > 1
    np.testing.assert_allclose(logits, expected, rtol=1e-9, atol=1e-11)


def test_a_batch_gives_what_its_sequences_give() -> None:
    model = FloatModel(random_checkpoint())
    batch = [TOKENS, TOKENS[::-1]]
    logits = model.logits(batch)
    for sequence, own in zip(batch, logits, strict=True):
        np.testing.assert_allclose(own, model.logits(sequence), rtol=1e-9)


def test_steps_give_what_the_whole_sequence_gives() -> None:
    model = FloatModel(random_checkpoint())
    batch = np.array([TOKENS, TOKENS[::-1]])
    cache = model.new_cache(2, len(TOKENS))
    stepped = np.stack([model.step(column, cache) for column in batch.T], axis=1)
    assert cache.filled == len(TOKENS)
    np.testing.assert_allclose(stepped, model.logits(batch), rtol=1e-9)
    with pytest.raises(ModelError, match="the KV cache of 9 positions is full"):
        model.step([1, 1], cache)


def test_more_positions_than_the_context_are_refused() -> None:
    model = FloatModel(random_checkpoint())
    assert model.logits([1] * 16).shape == (16, 40)
    with pytest.raises(ModelError, match="17 positions do not fit the model's context of 16"):
        model.logits([1] * 17)


@pytest.mark.parametrize("seed", range(6))
def test_ranges_are_the_largest_magnitudes_at_every_site(seed: int) -> None:
    checkpoint = random_checkpoint(seed=seed)
    sequences = [TOKENS, TOKENS[:4], [39] * 9]
    expected = Ranges(TINY.layers)
    for sequence in sequences:
        for site, values in vars(_scalar_run(checkpoint, sequence)[1]).items():
            setattr(expected, site, np.maximum(getattr(expected, site), values))
    measured = FloatModel(checkpoint).measure_ranges(sequences)
    assert vars(measured).keys() == vars(expected).keys()
    for site, values in vars(expected).items():
        is_observed = site != "roomy_hidden"  # that is chosen after all have been
        assert np.all((np.asarray(values) > 0) == is_observed), site
        np.testing.assert_allclose(getattr(measured, site), values, rtol=1e-9, err_msg=site)


def test_batches_of_bounded_size_give_the_same_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FloatModel(random_checkpoint())
    sequences = sample_sequences(model, 7, 10, seed=3)
    whole = model.measure_ranges(sequences)
    monkeypatch.setattr("host.model.float_model.BATCH_ELEMENTS", 1)
    for site, values in vars(model.measure_ranges(sequences)).items():
        np.testing.assert_allclose(values, getattr(whole, site), rtol=1e-9, err_msg=site)


def test_sampled_sequences_are_drawn_from_the_model() -> None:
    model = FloatModel(random_checkpoint())
    sequences = sample_sequences(model, 4000, 2, seed=1)
    assert sequences.shape == (4000, 2)
    assert (sequences[:, 0] == BOS).all()
    logits = model.logits([BOS])[0]
    expected = np.exp(logits) / np.exp(logits).sum()
    frequencies = np.bincount(sequences[:, 1], minlength=TINY.vocab_size) / 4000
    # Five standard deviations of a binomial frequency.
    assert (np.abs(frequencies - expected) <= 5 * np.sqrt(expected / 4000) + 1e-3).all()
    assert (sample_sequences(model, 4000, 2, seed=1) == sequences).all()
    assert (sample_sequences(model, 4000, 2, seed=2) != sequences).any()


def test_perplexity_of_known_logits() -> None:
    even = np.zeros((3, 40))
    assert perplexity(even, [1, 2, 3]) == pytest.approx(40)
    # Probability 1/2 for the second token, 1/4 for the third; the last logits predict nothing.
    logits = np.log([[0.5, 0.5, 1e-300], [0.25, 0.5, 0.25], [1.0, 1e-300, 1e-300]]) + 7
    assert perplexity(logits, [2, 1, 0]) == pytest.approx(8**0.5)


def test_perplexity_of_the_published_model(stories: FloatModel, evaluation: np.ndarray) -> None:
    assert perplexity(stories.logits(evaluation), evaluation) == pytest.approx(3.5598, abs=5e-5)


def test_the_perplexity_of_sampled_text_is_that_of_the_models_entropy() -> None:
    model = FloatModel(tiny_checkpoint())
    sequences = sample_sequences(model, 16, 128, seed=1)
    logits = model.logits(sequences)
    probabilities = softmax(logits)
    entropy = -(probabilities * np.log(probabilities + 1e-300)).sum(-1)[:, :-1].mean()
    # Measured over 2,032 tokens, whose surprise deviates by about 1.5 from its mean.
    assert perplexity(logits, sequences) == pytest.approx(np.exp(entropy), rel=0.12)


def test_greedy_text_equals_the_c_programs(stories: FloatModel, shared_models: Path) -> None:
    tokenizer = BpeTokenizer.load(shared_models / "tok512.bin", stories.config.vocab_size)
    runs = json.loads((shared_models / "stories260K.greedy.json").read_text())
    prompts = [tokenizer.encode(run["prompt"]) for run in runs]
    steps = runs[0]["steps"]
    assert len(runs) == 7
    assert all(run["steps"] == steps for run in runs)
    cache = stories.new_cache(len(runs), steps)
    streams = [TextStream(tokenizer) for _ in runs]
    texts, ended = [""] * len(runs), [False] * len(runs)
    tokens = [BOS] * len(runs)
    for position in range(1, steps + 1):
        likeliest = stories.step(tokens, cache).argmax(axis=1)
        for i, prompt in enumerate(prompts):
            tokens[i] = prompt[position] if position < len(prompt) else int(likeliest[i])
            ended[i] |= tokens[i] == BOS
            if not ended[i]:
                texts[i] += streams[i].push(tokens[i])
    assert texts == [run["text"] for run in runs]


def test_large_matrices_are_multiplied_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = FloatModel(random_checkpoint()), [[1, 7, 39], [0, 7, 21]]
    expected = model.logits(tokens)
    monkeypatch.setattr(float_model, "_LARGE", 0)
    np.testing.assert_allclose(model.logits(tokens), expected, rtol=1e-12)
