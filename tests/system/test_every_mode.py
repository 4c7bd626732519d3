"""Every strategy, on every link, with 1 to 8 chips, generates the reference's text.

Greedily, as a user's run does: chips that keep the residual stream answer with their best tokens.
The table in docs/results.md is of `verify`; the default run takes a slice.
"""

import pytest

from host.launch import SimulatedChips, open_cluster
from host.parallel.parallelism import LINKS
from host.parallel.strategies import STRATEGIES
from host.parallel.strategies.pipeline import STRATEGY as PIPELINE
from tests.cover import Cover
from tests.system.conftest import STEPS
from tests.system.federations import HEAP

LAYERS = 5


def how(strategy, chips, link):
    """Chips to simulate that a strategy divides the model among: in two stages at most, where
    their number can be chosen."""
    parallelism = strategy.make_parallelism(LAYERS, chips, None)
    if parallelism.stages > chips:
        parallelism = strategy.make_parallelism(LAYERS, chips, chips)
    return SimulatedChips.alike(chips, link, heap=HEAP, parallelism=parallelism)


def name_of(value):
    return getattr(value, "name", None) and f"{value.name}-{value.role}"


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


# As many chips as divide the model unevenly, of each strategy over one link.
STARS = tuple(link for link in LINKS if link != "ring")
SLICE = [
    (strategy, 2 + 3 * at % 7, STARS[at // 2 % 2]) for at, strategy in enumerate(STRATEGIES)
]
SLICE.append((PIPELINE, LAYERS, "ring"))


def is_possible(row):
    """Whether there is such a ring, where it is one."""
    strategy, chips, link = row[:3]
    return link != "ring" or (strategy == PIPELINE and chips <= LAYERS)


TABLE = Cover(
    {"strategy": STRATEGIES, "chips": range(1, 9), "link": LINKS, "prompt": range(7)},
    whole=("strategy", "chips", "link"),
    is_allowed=is_possible,
)


@pytest.mark.parametrize(("strategy", "chips", "link"), SLICE, ids=name_of)
def test_a_slice_of_the_table(model, runs, strategy, chips, link):
    assert_same_text(model, runs, [chips % 7], 48, how(strategy, chips, link))


@pytest.mark.verify
@pytest.mark.timeout(600)
@TABLE.parametrize(ids=name_of)
def test_the_whole_table(model, runs, strategy, chips, link, prompt):
    assert_same_text(model, runs, [prompt], STEPS, how(strategy, chips, link))
