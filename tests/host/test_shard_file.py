"""Shard files taken apart by the words of their format: together they are the model."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.compute.shard import load_weights
from host.build.shard import matrix_columns, shard_file, stored_matrix
from host.model.checkpoint import Config
from host.model.quantization.quantize import quantize
from host.parallel.parallelism import REDUCERS
from tests.host.grouped_models import grouped_checkpoint, grouped_model
from tests.host.random_models import configs
from tests.host.shard_merger import assert_merges
from tests.host.shard_reader import NUMBERS, ShardReader, head_rows
from tests.host.tiny import TINY, random_checkpoint
from tests.plans import tensor_plan


@pytest.mark.parametrize("reduce", REDUCERS)
@pytest.mark.parametrize("chips", range(1, 21))
def test_the_shards_of_any_number_of_chips_are_the_model(chips: int, reduce: str) -> None:
    assert_merges(quantize(random_checkpoint()), chips, reduce)


@settings(deadline=None, max_examples=50)
@given(
    configs((2, 6, 8, 22), largest_hidden=450),
    st.integers(1, 20),
    st.booleans(),
    st.sampled_from(REDUCERS),
    st.sampled_from((1, 4, 16)),
    st.sampled_from((0, 1 << 24)),
)
def test_the_shards_of_any_model_are_the_model(
    config: Config, chips: int, shared: bool, reduce: str, padding: int, flash: int
) -> None:
    assert_merges(quantize(random_checkpoint(config, shared)), chips, reduce, padding, flash)


@settings(deadline=None, max_examples=6)
@given(
    st.tuples(*[st.integers(1, 3)] * 3, st.sampled_from((16, 32, 96)), st.integers(1, 9)),
    st.sets(st.sampled_from(("wq", "wo", "w1", "w2"))),
    st.integers(1, 20),
    st.sampled_from(REDUCERS),
    st.sampled_from((1, 4, 16)),
    st.sampled_from((0, 1 << 24)),
)
def test_the_shards_of_a_model_in_groups_are_the_model(
    sizes: tuple[int, ...], kept: set[str], chips: int, reduce: str, padding: int, flash: int
) -> None:
    """Whichever matrices the file has in groups, and where others come between them."""
    kv_heads, group, dim, head_dim, units = sizes
    heads = kv_heads * group * 2
    config = Config(
        32 * dim, 32 * units, 2, heads, kv_heads, 40, 16, head_dim=head_dim
    )
    checkpoint = grouped_checkpoint(config)
    others = random_checkpoint(config, seed=7)
    for name in {"wq", "wo", "w1", "w2"} - kept:
        getattr(checkpoint, name)[:] = getattr(others, name)
    assert_merges(grouped_model(checkpoint), chips, reduce, padding, flash)


@pytest.mark.parametrize("padding", [4, 16])
@pytest.mark.parametrize("chips", [1, 4, 20])
def test_a_chip_finds_the_parts_of_a_padded_shard(
    chips: int, padding: int, tmp_path: Path
) -> None:
    """By the firmware's own reading: matrices lie at multiples of the padding, and are right."""
    model = quantize(random_checkpoint())
    plan = tensor_plan(model, chips, reduce="chips")
    for shard in plan.shards:
        (tmp_path / "shard.bin").write_bytes(shard_file(model, plan, shard, padding))
        weights = load_weights(str(tmp_path / "shard.bin"), shard.chip)
        columns = np.ix_(range(24), head_rows(shard.heads, model.config.head_dim))
        for layer, plain in zip(weights.layers, model.layers, strict=True):
            o, gate_up, down, end = weights.places[6:10]
            assert end == len(layer.weights)
            assert all(at % padding == 0 for at in weights.places[5:9])
            assert layer.weights[o:gate_up] == stored_matrix(plain.o.weight[columns], padding)
            units = stored_matrix(plain.down.weight[:, shard.units], padding)
            assert layer.weights[down : down + len(units)] == units
        rows = stored_matrix(model.classifier.weight[shard.rows], padding)
        assert weights.places[10] % padding == 0 and weights.places[11] == len(weights.vocabulary)
        found = weights.vocabulary[weights.places[10] :]
        assert found[: len(rows)] == rows and not any(found[len(rows) :])


def test_a_hundred_chips_of_which_most_own_little() -> None:
    assert_merges(quantize(random_checkpoint()), 100)


@pytest.mark.parametrize("chips", [1, 5, 20])
def test_shards_hold_no_column_count_without_a_kernel(chips: int) -> None:
    config = dataclasses.replace(TINY, hidden_dim=401)
    model = quantize(random_checkpoint(config))
    for shard in tensor_plan(model, chips).shards:
        columns = matrix_columns(model, shard)
        assert 0 not in columns
        assert {24, len(shard.heads) * 4 or 24, len(shard.units)} == columns


def test_each_shard_ends_in_a_hash_of_its_own() -> None:
    model = quantize(random_checkpoint())
    plan = tensor_plan(model, 3)
    files = [shard_file(model, plan, shard) for shard in plan.shards]
    assert len({file[-32:] for file in files}) == 3
    for file in files:
        assert len(file) % 4 == 0
        assert hashlib.sha256(file[:-32]).digest() == file[-32:]
    assert shard_file(model, plan, plan.shards[1]) == files[1]


def test_each_number_of_a_layer_has_its_place() -> None:
    model = quantize(random_checkpoint())
    layers = []
    for index, layer in enumerate(model.layers):
        for i, name in enumerate(NUMBERS):
            place, _, field = name.partition(".")
            value: Any = 20 + i + 100 * index
            if field:
                linear = getattr(layer, place)
                value = linear._replace(rescale=linear.rescale._replace(shift=value))
            layer = dataclasses.replace(layer, **{place: value})
        layers.append(layer)
    model = dataclasses.replace(model, layers=tuple(layers))
    plan = tensor_plan(model, 1)
    header = ShardReader(shard_file(model, plan, plan.shards[0])).header
    expected = [list(range(20, 32)), list(range(120, 132))]
    assert [numbers[: len(NUMBERS)] for numbers in header["layers"]] == expected


def test_the_norms_of_a_layer_have_their_places() -> None:
    """Numbers that all differ, epsilon the largest of all."""
    model = quantize(random_checkpoint())
    largest = (1 << 30) - 1
    layers = [
        dataclasses.replace(
            layer,
            attention_gain=layer.attention_gain._replace(shift=15, epsilon=largest),
            attention_limit=101,
            feed_forward_gain=layer.feed_forward_gain._replace(shift=16, epsilon=0),
            feed_forward_limit=102,
            o=layer.o._replace(rescale=layer.o.rescale._replace(shift=17)),
            down=layer.down._replace(rescale=layer.down.rescale._replace(shift=18)),
        )
        for layer in model.layers
    ]
    model = dataclasses.replace(model, layers=tuple(layers), final_limit=103)
    plan = tensor_plan(model, 3, reduce="chips")
    header = ShardReader(shard_file(model, plan, plan.shards[2])).header
    for numbers in header["layers"]:
        assert numbers[len(NUMBERS) :] == [[15, largest, 101], 17, [16, 0, 102], 18]
    assert header["final_norm"] == [model.final_gain.shift, model.final_gain.epsilon, 103]
    assert header["members"] == [0, 1, 2]


def test_a_smaller_context_and_another_model_show_in_the_header() -> None:
    model = quantize(random_checkpoint())
    small = tensor_plan(model, 2, context=7)
    header = ShardReader(shard_file(model, small, small.shards[0])).header
    assert header["context"] == 7
    other = quantize(random_checkpoint(seed=1))
    assert (
        ShardReader(shard_file(other, small, small.shards[0])).header["model"] != header["model"]
    )


@settings(deadline=None, max_examples=20)
@given(configs((2, 6, 8), largest_hidden=100), st.integers(1, 6), st.sampled_from((4, 16)))
def test_plans_count_what_matrices_are_filled_up_with(
    config: Config, chips: int, padding: int
) -> None:
    model = quantize(random_checkpoint(config))
    plan = tensor_plan(model, chips)
    for shard in plan.shards:
        plain, filled = (len(shard_file(model, plan, shard, each)) for each in (1, padding))
        counted = plan.filling(shard, padding)
        # What is filled up at the end of each matrix is counted whole; the header names the size.
        assert filled - plain - 4 <= counted <= filled - plain + (5 * config.layers + 2) * 16 + 8
