"""Models with int8 KV caches, on simulated chips: the reference's logits, exactly."""

from dataclasses import replace

import numpy as np
import pytest

from host.launch import SimulatedChips, open_cluster
from host.model.quantization.caches import narrow_caches
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from host.parallel.parallelism import LINKS
from host.parallel.strategies import STRATEGIES
from host.parallel.strategies.pipeline import STRATEGY as PIPELINE
from tests.cover import Cover
from tests.host.tiny import NORMED_HEADS, TINY, WIDE_HEADS, random_checkpoint
from tests.system.federations import HEAP
from tests.system.test_every_mode import STARS, name_of

TOKENS = [1, 7, 39, 0, 7, 21, 5, 5, 12, 3, 3, 30]
# Head sizes that are a power of two and not, and wider than a kernel has locals for.
CONFIGS = [
    replace(TINY, layers=5),
    WIDE_HEADS,
    replace(NORMED_HEADS, layers=3, head_dim=12, heads=3, kv_heads=3),
    replace(WIDE_HEADS, head_dim=194, heads=2, kv_heads=1, dim=36),
]
ONE, SEVERAL = 0, 2  # sequences whose caches are held, as far as heaps allow


def assert_exact(config, seed, strategy, chips, link, slots=ONE, weights="auto"):
    """The logits of two sequences, which with several slots have a cache each."""
    model = narrow_caches(quantize(random_checkpoint(config, seed=seed)))
    assert_same_logits(model, strategy, chips, link, slots, weights)


def assert_same_logits(model, strategy, chips, link, slots=ONE, weights="auto"):
    """Holds the logits after each of some tokens to the reference's."""
    layers = model.config.layers
    parallelism = strategy.make_parallelism(layers, chips, None)
    if parallelism.stages > chips:
        parallelism = strategy.make_parallelism(layers, chips, chips)
    parallelism = replace(parallelism, slots=slots, weights=weights)
    of = SimulatedChips.alike(chips, link, heap=HEAP, parallelism=parallelism)
    with open_cluster(model, of) as cluster:
        for tokens in (TOKENS, TOKENS[::-1]):
            expected = Reference(model).logits([tokens])[0]
            cluster.executor.begin()
            at = 5  # of which the first come in one request
            got = [cluster.executor.forward(tokens[:at])]
            got += [cluster.executor.forward([token]) for token in tokens[at:]]
            np.testing.assert_array_equal(got, expected[at - 1 :])


def place(strategy):
    return (STRATEGIES.index(strategy) + 1) % len(CONFIGS)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=name_of)
def test_logits_are_the_references(strategy):
    chips, link = 2 + place(strategy) % 3, STARS[place(strategy) % 2]
    assert_exact(CONFIGS[place(strategy)], 1, strategy, chips, link)


def is_possible(row):
    """Whether there is such a ring, where it is one."""
    strategy, chips, link, config = row[:4]
    return link != "ring" or (strategy == PIPELINE and chips <= CONFIGS[config].layers)


TABLE = Cover(
    {
        "strategy": STRATEGIES, "chips": range(1, 6), "link": LINKS,
        "config": range(len(CONFIGS)), "slots": (ONE, SEVERAL), "weights": ("heap", "flash"),
    },
    is_allowed=is_possible,
)  # fmt: skip


@pytest.mark.verify
@TABLE.parametrize(ids=name_of)
def test_the_table(strategy, chips, link, config, slots, weights):
    assert_exact(CONFIGS[config], chips, strategy, chips, link, slots, weights)
