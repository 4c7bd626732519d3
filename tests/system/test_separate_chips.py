"""Chips that leave all feed-forward units to others, because they have heads: exact as ever."""

from dataclasses import replace

import numpy as np
import pytest

from host.launch import SimulatedChips, open_cluster
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from host.parallel.parallelism import ALL_REDUCE, hybrid
from tests.host.grouped_models import CONFIG, grouped_checkpoint, grouped_model
from tests.host.tiny import TINY, random_checkpoint
from tests.system.test_int8_caches import TOKENS

SMALL = replace(TINY, heads=4, kv_heads=2, layers=2)
MODELS = {
    "int8": lambda: quantize(random_checkpoint(SMALL, seed=3)),
    "groups": lambda: grouped_model(grouped_checkpoint(CONFIG)),
}


@pytest.mark.parametrize(
    ("kind", "parallelism", "chips"),
    [
        ("int8", ALL_REDUCE, 5),
        ("groups", ALL_REDUCE, 4),
        pytest.param("groups", hybrid(2), 6, marks=pytest.mark.verify),
        pytest.param("int8", hybrid(2), 9, marks=pytest.mark.verify),
    ],
)
def test_logits_are_the_references(kind, parallelism, chips):
    model = MODELS[kind]()
    parallelism = replace(parallelism, weights="flash")
    of = SimulatedChips.alike(chips, "espnow", signed=True, parallelism=parallelism, loss=0.02)
    with open_cluster(model, of) as cluster:
        shards = cluster.executor.plan.shards
        assert any(shard.heads and not shard.units for shard in shards)
        assert all(bool(shard.heads) != bool(shard.units) for shard in shards)
        expected = Reference(model).logits([TOKENS])[0]
        cluster.executor.begin()
        got = [cluster.executor.forward(TOKENS[:5])]
        for at, token in enumerate(TOKENS[5:]):
            if at == 3:  # one with heads only
                cluster.simulation.chips[0].restart()
            got.append(cluster.executor.forward([token]))
        np.testing.assert_array_equal(got, expected[4:])
