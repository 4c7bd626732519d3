"""Large vocabularies: chips name their best rows, and the text is the reference's all the same."""

import numpy as np
import pytest

from host.launch import SimulatedChips, open_cluster
from host.model.checkpoint import Config
from host.model.reference import Reference
from host.model.sampling import Sampler, count_candidates, list_candidates
from host.parallel.parallelism import Parallelism, hybrid, pipeline
from tests.host.tiny import seeded_model

HOST, CHIPS = Parallelism(reduce="host"), Parallelism(reduce="chips")
# Of stories15M, with its number of tokens.
STORIES15M = Config(288, 768, 6, 6, 6, 32_000, 256)


def of_tokens(tokens: int) -> Config:
    return Config(32, 40, 2, 4, 2, tokens, 32)


@pytest.mark.parametrize(
    ("config", "chips", "link", "parallelism", "loss"),
    [
        (of_tokens(5000), 3, "uart", HOST, 0.0),
        (of_tokens(5000), 2, "espnow", CHIPS, 0.05),
        pytest.param(of_tokens(2500), 1, "uart", HOST, 0.0, marks=pytest.mark.verify),
        pytest.param(of_tokens(4096), 2, "uart", pipeline(2), 0.0, marks=pytest.mark.verify),
        pytest.param(of_tokens(4096), 2, "espnow", CHIPS, 0.05, marks=pytest.mark.verify),
        pytest.param(of_tokens(49_152), 4, "espnow", hybrid(2), 0.05, marks=pytest.mark.verify),
        pytest.param(of_tokens(49_152), 2, "uart", pipeline(2), 0.0, marks=pytest.mark.verify),
        pytest.param(of_tokens(262_144), 5, "uart", CHIPS, 0.0, marks=pytest.mark.verify),
        pytest.param(STORIES15M, 5, "uart", HOST, 0.0, marks=pytest.mark.verify),
        pytest.param(STORIES15M, 5, "espnow", CHIPS, 0.02, marks=pytest.mark.verify),
    ],
)
def test_sampled_and_greedy_tokens_are_the_references(
    config: Config, chips: int, link: str, parallelism: Parallelism, loss: float
) -> None:
    model = seeded_model(config)
    tokens = [1, config.vocab_size - 1, 22, config.vocab_size // 2]
    reference = Reference(model, context=16)
    settings = SimulatedChips.alike(
        chips, link, loss=loss, parallelism=parallelism, heap=16 << 20, context=16
    )
    most = count_candidates(config.vocab_size)
    scale = 2.0**-model.logit_exponent
    with open_cluster(model, settings) as started:
        executor = started.executor
        executor.begin()
        for step in range(3):
            expected = [reference.step([token])[0] for token in tokens][-1]
            executor.greedy = step == 1
            logits = executor.forward(tokens)
            assert logits.argmax() == expected.argmax()
            given = logits > -(1 << 15)
            assert (logits[given] == expected[given]).all()
            assert most or step == 1 or given.all()
            if not executor.greedy:
                for seed in range(20):
                    token = Sampler(1.5, 0.95, seed).choose(logits * scale)
                    assert token == Sampler(1.5, 0.95, seed).choose(expected * scale)
            if most:
                best = list_candidates(expected, most)
                assert np.array_equal(list_candidates(logits, most), best)
            tokens = [int(expected.argmax())]
        if parallelism is HOST:
            executor.check_arithmetic()
