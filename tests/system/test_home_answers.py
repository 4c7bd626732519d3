"""The home model's answers, held to their grammar, and how sure it is of them: the same in every
strategy, with and without drafts, alone and with others, as the reference's."""

import pytest

from host.generation.evaluation import generate_judged
from host.generation.generator import Generator
from host.generation.prompt_encoder import PromptEncoder
from host.generation.statistics import Meter
from host.launch import SimulatedChips, open_cluster
from host.model.cache import quantize_once
from host.model.loading import load_model
from host.model.reference import Reference
from host.model.sampling import Sampler
from host.parallel.strategies import STRATEGIES
from host.paths import HOME_MODEL

PROMPTS = (
    "turn off the kitchen lights",
    "set the living room lights to blue and wake me at half past six",
    "unlock the shed",
    "play some jazz",
    "unlock the garage door",
    "start a timer for pasta for twelve minutes",
)


@pytest.fixture(scope="module")
def home():
    source = load_model(HOME_MODEL)
    return source, quantize_once(source)


def answers_of(home, chips, drafts=0, sampler=Sampler):
    source, model = home
    with open_cluster(model, chips) as cluster:
        encoder = PromptEncoder(source, None, None)
        generator = Generator(cluster, source, encoder, drafts)
        tasks = [generator.task(prompt, sampler()) for prompt in PROMPTS]
        for _ in generator.run(tasks, Meter(cluster)):
            pass
    return [task.result() for task in tasks]


def chips_of(strategy, slots=0):
    parallelism = strategy.make_parallelism(6, 3, None)
    if parallelism.stages > 3:
        parallelism = strategy.make_parallelism(6, 3, 3)
    return SimulatedChips.alike(3, "uart", parallelism=parallelism, slots=slots)


@pytest.fixture(scope="module")
def expected(home):
    source, model = home
    reference = Reference(model, len(PROMPTS))
    return generate_judged(
        reference.step, source.tokenizer, source.prompt_format, PROMPTS, 60, model.logit_exponent
    )


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param(each, marks=pytest.mark.verify) if each.role == "all_gather" else each
        for each in STRATEGIES
    ],
    ids=lambda each: f"{each.name}-{each.role}",
)
def test_answers_and_confidences_are_those_of_the_reference(home, expected, strategy):
    found = answers_of(home, chips_of(strategy))
    assert [each.text for each in found] == [each.text for each in expected]
    assert [each.confidence for each in found] == [each.confidence for each in expected]
    assert [each.refused for each in found] == [each.refused for each in expected]
    assert [each.needs_confirmation for each in found] == [
        "unlock" in each.text for each in expected
    ]
    assert any("unlock" in each.text for each in expected)


@pytest.mark.parametrize("reduce", ["host", "chips"])
def test_neither_guesses_nor_other_sequences_change_them(home, expected, reduce):
    strategy = next(each for each in STRATEGIES if each.reduce == reduce)
    found = answers_of(home, chips_of(strategy, slots=3), drafts=4)
    assert [each.text for each in found] == [each.text for each in expected]
    assert [each.confidence for each in found] == [each.confidence for each in expected]


def test_what_is_sampled_is_the_same_in_every_strategy(home):
    def sampler():
        return Sampler(0.8, seed=5)

    sampled = [
        [
            (each.text, each.confidence, each.tokens)
            for each in answers_of(home, chips, drafts, sampler)
        ]
        for chips, drafts in (
            (chips_of(STRATEGIES[0]), 0),
            (chips_of(STRATEGIES[1]), 3),
            (chips_of(STRATEGIES[-1]), 0),
        )
    ]  # fmt: skip
    assert sampled[0] == sampled[1] == sampled[2]
