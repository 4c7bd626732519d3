"""Every way to divide a model, on every link, with 1 to 8 chips, generates the reference's text.

Greedily, as a user's run does: chips that combine answer with their best tokens. The table in
docs/results.md is of `verify`; the default run takes a slice.
"""

import itertools

import pytest

from host.launch import open_cluster
from host.parallel.strategies.pipeline import count_stages
from tests.system.conftest import STEPS
from tests.system.federations import settings

LAYERS = 5
WAYS = ("host", "chips", "pipeline", "hybrid")
LINKS = ("uart", "espnow")


def how(way, chips, link):
    """How to simulate so many chips that work in one of these ways."""
    if way == "pipeline":
        return settings(chips, link, stages=count_stages(LAYERS, chips))
    if way == "hybrid":
        return settings(chips, link, stages=min(2, chips))
    return settings(chips, link, reduce=way)


def greedy_text(executor, run, steps):
    """The tokens of the prompt and those that follow."""
    executor.greedy = True
    executor.begin()
    tokens = run.tokens[: run.prompt].tolist()
    logits = executor.forward(tokens)
    while len(tokens) < steps:
        tokens.append(int(logits.argmax()))
        logits = executor.forward(tokens[-1:])
    return tokens


def assert_same_text(model, runs, prompts, steps, of):
    with open_cluster(model, of) as cluster:
        for prompt in prompts:
            found = greedy_text(cluster.executor, runs[prompt], steps)
            assert found == runs[prompt].tokens[:steps].tolist(), prompt


SLICE = [("host", 3, "uart"), ("chips", 2, "espnow"), ("pipeline", 7, "espnow"),
         ("hybrid", 6, "uart")]  # fmt: skip


@pytest.mark.parametrize(("way", "chips", "link"), SLICE)
def test_a_slice_of_the_table(model, runs, way, chips, link):
    assert_same_text(model, runs, [chips % 7], 48, how(way, chips, link))


@pytest.mark.verify
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("way", "chips", "link"), list(itertools.product(WAYS, range(1, 9), LINKS))
)
def test_the_whole_table(model, runs, way, chips, link):
    assert_same_text(model, runs, range(7), STEPS, how(way, chips, link))
