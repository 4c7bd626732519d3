"""What tensor parallelism costs on the link and in weights."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.build.shard import shard_file
from host.cli.inspection import quantized_bytes
from host.errors import ParallelError
from host.model.checkpoint import Config
from host.model.quantization.quantize import quantize
from host.parallel.theory.communication import (
    ALL_REDUCES_PER_BLOCK,
    Communication,
    weight_fractions,
)
from tests.host.random_models import configs
from tests.host.tiny import random_checkpoint
from tests.plans import tensor_plan

MIB = 1 << 20
TABLES = 2 * (512 + 1024)  # exponential and sigmoid, in each shard file
STORIES = Config(
    dim=64, hidden_dim=172, layers=5, heads=8, kv_heads=4, vocab_size=512, context=512
)


def test_a_step_of_1024_positions_in_float32():
    step = Communication(sequence=1024, hidden=1024, layers=24, element_bits=32)
    assert ALL_REDUCES_PER_BLOCK == 2
    assert step.bytes_per_all_reduce == 4 * MIB
    assert step.bytes_per_block == 8 * MIB
    assert step.all_reduces == 48
    assert step.bytes_per_step == 192 * MIB
    assert step.overhead(bandwidth=4 * MIB, latency=0.5) == 48 * 1.5
    assert step.overhead(bandwidth=4 * MIB, latency=0.5, transfers=5) == 48 * 5.5


def test_a_world_of_one_waits_for_no_link():
    assert Communication(8, 64, 5).overhead(1e6, 1.0, transfers=0) == 0


def test_packed_elements_count_in_whole_bytes():
    assert Communication(1, 3, 1, element_bits=27).bytes_per_all_reduce == 11


@pytest.mark.parametrize("field", ["sequence", "hidden", "layers", "element_bits"])
def test_a_step_has_numbers_from_one_on(field):
    fields = {"sequence": 1, "hidden": 1, "layers": 1, "element_bits": 1, field: 0}
    with pytest.raises(ParallelError, match=f"{field} is 0, expected at least 1"):
        Communication(**fields)


@pytest.mark.parametrize("link", [(0, 1), (-1, 1), (1, -1), (1, 1, -1)])
def test_a_link_that_cannot_be(link):
    with pytest.raises(ParallelError, match="a link of"):
        Communication(1, 1, 1).overhead(*link)


@settings(deadline=None, max_examples=20)
@given(configs((2, 6, 8, 22), largest_hidden=450), st.integers(1, 20))
def test_fractions_are_those_of_the_shard_files(config, chips):
    model = quantize(random_checkpoint(config))
    plan = tensor_plan(model, chips)
    whole = quantized_bytes(config)
    for shard, fraction in zip(plan.shards, weight_fractions(plan), strict=True):
        content = shard_file(model, plan, shard)
        header = 16 + int.from_bytes(content[12:16], "little")
        carried = len(content) - header - TABLES - 32
        assert 0 <= carried - fraction * whole < 4 * (config.layers + 1)  # but for padding


@pytest.fixture(scope="module")
def fractions():
    """Of a model like stories260K over a number of chips."""
    model = quantize(random_checkpoint(STORIES))

    def of(chips, replicated=0):
        return weight_fractions(tensor_plan(model, chips), replicated)

    return of


def test_fractions_add_up_to_more_than_one_only_where_something_is_held_twice(fractions):
    assert fractions(1) == (1,)
    assert sum(fractions(4)) == sum(fractions(5)) == 1
    kv_twice = 5 * 4 * 8 * 2 * (64 + 2)  # k and v rows and multipliers of four KV heads
    assert sum(fractions(8)) == 1 + Fraction(kv_twice, quantized_bytes(STORIES))


def test_what_all_hold_counts_at_each(fractions):
    whole = quantized_bytes(STORIES) + 1000
    assert fractions(1, 1000) == (1,)
    assert sum(fractions(5, 1000)) == 1 + Fraction(4 * 1000, whole)
    assert min(fractions(5, 1000)) > min(fractions(5))
