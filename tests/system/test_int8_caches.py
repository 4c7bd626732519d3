"""Models with int8 KV caches, on simulated chips: the reference's logits, exactly."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from host.launch import SimulatedChips, open_cluster
from host.model.quantization.caches import narrow_caches
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from host.parallel.strategies import STRATEGIES
from host.parallel.strategies.pipeline import STRATEGY as PIPELINE
from tests.host.tiny import NORMED_HEADS, TINY, WIDE_HEADS, random_checkpoint
from tests.system.test_every_mode import STARS

TOKENS = [1, 7, 39, 0, 7, 21, 5, 5, 12, 3, 3, 30]
# Head sizes that are a power of two and not, and wider than a kernel has locals for.
CONFIGS = [
    replace(TINY, layers=5),
    WIDE_HEADS,
    replace(NORMED_HEADS, layers=3, head_dim=12, heads=3, kv_heads=3),
    replace(WIDE_HEADS, head_dim=194, heads=2, kv_heads=1, dim=36),
]


def assert_exact(config, seed, strategy, chips, link):
    model = narrow_caches(quantize(random_checkpoint(config, seed=seed)))
    parallelism = strategy.make_parallelism(config.layers, chips, None)
    if parallelism.stages > chips:
        parallelism = strategy.make_parallelism(config.layers, chips, chips)
    expected = Reference(model).logits([TOKENS])[0]
    of = SimulatedChips.alike(chips, link, parallelism=parallelism)
    with open_cluster(model, of) as cluster:
        cluster.executor.begin()
        at = 5  # of which the first come in one request
        got = [cluster.executor.forward(TOKENS[:at])]
        got += [cluster.executor.forward([token]) for token in TOKENS[at:]]
    np.testing.assert_array_equal(got, expected[at - 1 :])


def place(strategy):
    return (STRATEGIES.index(strategy) + 1) % len(CONFIGS)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: f"{s.name}-{s.role}")
def test_logits_are_the_references(strategy):
    chips, link = 2 + place(strategy) % 3, STARS[place(strategy) % 2]
    assert_exact(CONFIGS[place(strategy)], 1, strategy, chips, link)


TABLE = [
    *itertools.product(STRATEGIES, STARS, range(1, 6)),
    *((PIPELINE, "ring", chips) for chips in (1, 2)),
]


@pytest.mark.verify
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: str(config.head_dim))
@pytest.mark.parametrize(("strategy", "link", "chips"), TABLE)
def test_the_whole_table(strategy, link, chips, config):
    assert_exact(config, chips, strategy, chips, link)
