"""Models that normalize queries and keys, on simulated chips: the reference's logits, exactly."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from host.launch import SimulatedChips, open_cluster
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from host.parallel.strategies import STRATEGIES
from host.parallel.strategies.pipeline import STRATEGY as PIPELINE
from tests.host.tiny import NORMED_HEADS, random_checkpoint
from tests.system.test_every_mode import STARS

TOKENS = [1, 7, 39, 0, 7, 21, 5, 5, 12, 3, 3, 30]
# Head sizes that are a power of two and not, and as large as kernels have columns for.
CONFIGS = [
    NORMED_HEADS,
    replace(NORMED_HEADS, head_dim=12, heads=3, kv_heads=3),
    replace(NORMED_HEADS, head_dim=64, heads=2, kv_heads=1, dim=36),
]


def assert_exact(config, seed, strategy, chips, link, scale=1.0):
    """scale: of the weights of q and k, so that norms meet the smallest and the largest."""
    checkpoint = random_checkpoint(config, seed=seed)
    checkpoint.wq[:] *= scale
    checkpoint.wk[:] *= scale
    model = quantize(checkpoint)
    parallelism = strategy.make_parallelism(config.layers, chips, None)
    if parallelism.stages > chips:
        parallelism = strategy.make_parallelism(config.layers, chips, chips)
    expected = Reference(model).logits([TOKENS])[0]
    of = SimulatedChips.alike(chips, link, parallelism=parallelism)
    with open_cluster(model, of) as cluster:
        cluster.executor.begin()
        for position, token in enumerate(TOKENS):
            logits = cluster.executor.forward([token])
            np.testing.assert_array_equal(logits, expected[position])


@pytest.mark.parametrize(("place", "chips"), [(0, 3), (1, 2)])
def test_logits_are_the_references(place, chips):
    assert_exact(CONFIGS[place], place, STRATEGIES[place], chips, STARS[place])


TABLE = [
    *itertools.product(STRATEGIES, STARS, (1, 2, 4)),
    *((PIPELINE, "ring", chips) for chips in (1, 2)),
]


@pytest.mark.verify
@pytest.mark.parametrize(("place", "config"), list(enumerate(CONFIGS)))
@pytest.mark.parametrize(("strategy", "link", "chips"), TABLE)
def test_the_whole_table(strategy, link, place, config, chips):
    scale = (1.0, 1e-4, 300.0)[(place + chips) % 3]
    assert_exact(config, chips, strategy, chips, link, scale)
