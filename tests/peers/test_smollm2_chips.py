"""SmolLM2-135M-Instruct on simulated ESP32-S3-N16R8: minutes each, in `verify`.

Needs the model: `python -m host.model get smollm2-135m-instruct`.
"""

import time
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from host.errors import ModelError
from host.launch import SimulatedChips, open_cluster
from host.model.arithmetic import Ints
from host.model.cache import load_quantized
from host.model.chat import USER, Message
from host.model.loading import LoadedModel
from host.model.reference import Reference
from host.parallel.parallelism import ANYWHERE, Parallelism
from tests.peers.smollm2 import MODEL, QUESTIONS, load_with_groups, skip_without_model

pytestmark = [pytest.mark.verify, pytest.mark.timeout(3600)]
BOARD = "esp32s3-n16r8"
EXACT, COUNT = 8, 16  # tokens whose logits are compared, and that are generated
# What can be had with so many boards: the caches of more positions take the weights' place.
CONTEXT = 60  # of which 20 boards have all weights and caches in PSRAM
GOAL = 120.0  # seconds in which the chips are to be ready


class Run(NamedTuple):
    """A prompt, and the tokens that the reference lets follow, with the logits of each."""

    prompt: list[int]
    tokens: list[int]
    logits: list[Ints]


@pytest.fixture(scope="module", autouse=True)
def model_is_here() -> None:
    skip_without_model()


@pytest.fixture(scope="module")
def source() -> LoadedModel:
    """Quantized, at the first time in minutes, then from the cache."""
    return load_quantized(MODEL)


@pytest.fixture(scope="module")
def grouped() -> LoadedModel:
    """The same with weights in the groups of the file."""
    return load_with_groups()


@pytest.fixture(scope="module")
def runs(source: LoadedModel) -> list[Run]:
    return find_runs(source)


@pytest.fixture(scope="module")
def grouped_runs(grouped: LoadedModel) -> list[Run]:
    return find_runs(grouped)


def find_runs(source: LoadedModel) -> list[Run]:
    """The reference's answers, all at once."""
    chat = source.prompt_format.chat
    assert chat is not None
    prompts = [chat.encode([Message(USER, text)], source.tokenizer) for text in QUESTIONS]
    found = [Run(prompt, [], []) for prompt in prompts]
    longest = max(map(len, prompts))
    reference = Reference(source.quantize(), len(prompts), longest + COUNT)
    for position in range(longest + COUNT):
        given = [(run.prompt + run.tokens)[: position + 1][-1] for run in found]
        for run, logits in zip(found, reference.step(given), strict=True):
            if len(run.prompt) <= position + 1 and len(run.tokens) < COUNT:
                run.tokens.append(int(logits.argmax()))
                run.logits.append(logits)
    return found


@pytest.mark.parametrize(
    ("chips", "weights"),
    [(10, "flash"), (10, "flash-mapped"), (10, "auto"), (20, "flash"), (20, "heap")],
)
def test_chips_answer_as_the_reference(
    source: LoadedModel, runs: list[Run], chips: int, weights: str
) -> None:
    assert_same_answers(source, runs, chips, weights)


@pytest.mark.parametrize(
    ("chips", "weights"), [(10, "flash"), (10, "auto"), (9, "flash"), (7, "auto")]
)
def test_chips_with_weights_in_groups_answer_as_the_reference(
    grouped: LoadedModel, grouped_runs: list[Run], chips: int, weights: str
) -> None:
    assert_same_answers(grouped, grouped_runs, chips, weights)


def test_seven_boards_are_the_fewest_that_hold_it_in_groups(
    source: LoadedModel, grouped: LoadedModel
) -> None:
    """Where int8 takes ten."""
    for model, fewest in ((grouped, 7), (source, 10)):
        of = SimulatedChips.alike(fewest, "uart", BOARD, parallelism=None, context=CONTEXT)
        of = replace(of, weights=ANYWHERE)
        of.check(model.quantize())
        with pytest.raises(ModelError):
            replace(of, count=fewest - 1).check(model.quantize())


def assert_same_answers(source: LoadedModel, runs: list[Run], chips: int, weights: str) -> None:
    """Holds greedy tokens, and the logits of the first, to the reference's; prints speeds."""
    parallelism = Parallelism(weights=weights)
    of = SimulatedChips.alike(chips, "uart", BOARD, parallelism=parallelism, context=CONTEXT)
    begun = time.monotonic()
    with open_cluster(source.quantize(), of) as cluster:
        print(f"{chips} chips, {weights}: ready after {time.monotonic() - begun:.0f} s")
        executor, generating = cluster.executor, 0.0
        keeps = weights in ("auto", "flash-mapped")
        assert (max(executor.plan.resident, default=0) > 0) == keeps
        is_mapped = {ready.mapping for ready in cluster.ready.values()} == {"mapped"}
        assert is_mapped == (weights == "flash-mapped")
        for run in runs:
            executor.begin()
            executor.greedy = False
            logits = executor.forward(run.prompt)
            begun = time.monotonic()
            for place, (token, expected) in enumerate(zip(run.tokens, run.logits, strict=True)):
                executor.greedy = place >= EXACT
                assert int(logits.argmax()) == token
                given = logits > -(1 << 15)
                assert given.sum() >= 64 and np.array_equal(logits[given], expected[given])
                if place < len(run.tokens) - 1:
                    logits = executor.forward([token])
            generating += time.monotonic() - begun
        rate = len(runs) * (COUNT - 1) / generating
        print(f"{rate:.2f} tokens a second (simulated: this machine's speed)")
