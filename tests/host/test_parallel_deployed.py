"""What the shards of a plan compute together, as cut and as deployed: the reference's numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from host.model.transformer import final_activation
from host.parallel.layers import all_gather, all_reduce
from host.parallel.sharded_model import ShardedModel
from host.parallel.sharding import merge_shards
from tests.host.deployed_shards import deployed
from tests.host.random_models import configs
from tests.host.tiny import WIDE_HEADS, random_checkpoint
from tests.plans import tensor_plan

TOKENS = [1, 17, 5, 33, 8, 21]


class Sums:
    """A sharded model's, at `position` and those that follow."""

    def __init__(self, sharded):
        self.sharded, self.position = sharded, 0

    def attention(self, layer, x):
        return all_reduce(self.sharded.attention(layer, x, self.position))

    def feed_forward(self, layer, x):
        return all_reduce(self.sharded.feed_forward(layer, x))


def assert_computes_as_the_reference(sharded):
    """A prompt of some positions at once, then token by token."""
    reference, sums = Reference(sharded.model), Sums(sharded)
    expected = reference.logits([TOKENS])[0]
    for chunk in (TOKENS[:3], *([token] for token in TOKENS[3:])):
        x = final_activation(sharded.model, chunk, sums)
        parts = sharded.logits(x)
        rows = [shard.rows for shard in sharded.plan.shards]
        logits = all_gather(parts, rows, sharded.model.config.vocab_size)
        end = sums.position + len(chunk)
        np.testing.assert_array_equal(logits, expected[sums.position : end])
        sums.position = end


@pytest.mark.parametrize("chips", [1, 2, 3, 5, 7, 20])
@pytest.mark.parametrize("of", [ShardedModel.of, deployed])
def test_shards_compute_together_as_the_reference(of, chips):
    model = quantize(random_checkpoint())
    assert_computes_as_the_reference(of(model, tensor_plan(model, chips)))


@pytest.mark.parametrize("chips", [1, 2, 5])
@pytest.mark.parametrize("of", [ShardedModel.of, deployed])
def test_heads_wider_than_the_residual_stream(of, chips):
    model = quantize(random_checkpoint(WIDE_HEADS))
    assert_computes_as_the_reference(of(model, tensor_plan(model, chips)))


@settings(deadline=None, max_examples=15)
@given(configs((2, 6, 8), largest_hidden=60), st.integers(1, 20))
def test_deployed_shards_of_any_model_compute_as_the_reference(config, chips):
    model = quantize(random_checkpoint(config))
    assert_computes_as_the_reference(deployed(model, tensor_plan(model, chips)))


@pytest.mark.parametrize("chips", [1, 5, 8])
def test_deployed_shards_merge_to_the_model(chips):
    model = quantize(random_checkpoint())
    sharded = deployed(model, tensor_plan(model, chips))
    pairs = [(sharded.classifier.shards, model.classifier, 0)]
    for layer, whole in zip(sharded.layers, model.layers, strict=True):
        for name, parallel in layer._asdict().items():
            pairs.append((parallel.shards, getattr(whole, name), int(name in ("o", "down"))))
    for shards, whole, dim in pairs:
        merged = merge_shards(shards, dim)
        np.testing.assert_array_equal(merged.weight, whole.weight)
        np.testing.assert_array_equal(merged.rescale.multiplier, whole.rescale.multiplier)
