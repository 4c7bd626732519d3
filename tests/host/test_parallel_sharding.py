"""Weights cut along any dimension and put together again, contiguous, dealt and quantized."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.errors import ParallelError
from host.model.arithmetic import Rescale
from host.model.quantized import Linear
from host.parallel.sharding import WeightSlice, merge_shards, shard_weight
from tests.host.divisions import WORLDS, dealt, linears, weights


def assert_same(merged, whole):
    if isinstance(whole, Linear):
        assert merged.rescale.shift == whole.rescale.shift
        assert_same(merged.rescale.multiplier, whole.rescale.multiplier)
        merged, whole = merged.weight, whole.weight
    assert merged.dtype == whole.dtype
    np.testing.assert_array_equal(merged, whole)


def linear(rows=4, columns=6, shift=20):
    weight = np.arange(rows * columns, dtype=np.int8).reshape(rows, columns)
    return Linear(weight, Rescale(np.arange(1, rows + 1), shift))


@given(weights(), st.data(), WORLDS)
def test_contiguous_shards_merge_to_the_weight(weight, data, world_size):
    dim = data.draw(st.integers(-weight.ndim, weight.ndim - 1))
    weight = np.repeat(weight, world_size, dim)  # a length that can be divided
    shards = [shard_weight(weight, dim, rank, world_size) for rank in range(world_size)]
    blocks = np.split(weight, world_size, dim)
    for shard, block in zip(shards, blocks, strict=True):
        assert_same(shard.weight, block)
    assert_same(merge_shards(shards, dim), weight)


@given(weights(), st.data())
def test_dealt_shards_merge_to_the_weight_in_any_order(weight, data):
    dim = data.draw(st.integers(-weight.ndim, weight.ndim - 1))
    parts = data.draw(dealt(weight.shape[dim]))
    shards = [shard_weight(weight, dim, indices=own) for own in parts]
    for shard, own in zip(shards, parts, strict=True):
        assert shard.indices.tolist() == own
        assert_same(shard.weight, weight.take(own, dim))
    assert_same(merge_shards(data.draw(st.permutations(shards)), dim), weight)


@given(linears(), st.sampled_from([0, 1, -1, -2]), st.data())
def test_quantized_shards_merge_with_their_multipliers(whole, dim, data):
    parts = data.draw(dealt(whole.weight.shape[dim]))
    shards = [shard_weight(whole, dim, indices=own) for own in parts]
    for shard, own in zip(shards, parts, strict=True):
        multiplier = whole.rescale.multiplier
        kept = multiplier[own] if dim in (0, -2) else multiplier
        assert_same(shard.weight.rescale.multiplier, kept)
    assert_same(merge_shards(shards, dim), whole)


@given(linears(), st.integers(0, 1), WORLDS)
def test_quantized_matrices_are_cut_into_contiguous_shards_too(whole, dim, world_size):
    whole = Linear(
        np.repeat(whole.weight, world_size, dim),
        whole.rescale._replace(multiplier=np.repeat(whole.rescale.multiplier, world_size))
        if dim == 0
        else whole.rescale,
    )
    shards = [shard_weight(whole, dim, rank, world_size) for rank in range(world_size)]
    assert_same(merge_shards(shards, dim), whole)


def test_what_several_ranks_hold_is_merged_once():
    weight = np.arange(12).reshape(3, 4)
    shards = [shard_weight(weight, 1, indices=own) for own in ([0, 2], [2, 1], [3, 2])]
    assert_same(merge_shards(shards, 1), weight)
    shards[2].weight[1, 1] += 1
    with pytest.raises(ParallelError, match="shards differ at index 2 of dimension 1"):
        merge_shards(shards, 1)


def test_a_shard_is_a_copy():
    weight = np.arange(6)
    shard_weight(weight, 0, 0, 2).weight[:] = 9
    assert weight.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 0, 2), "a weight of shape (4, 6) has no dimension 2"),
        ((-3, 0, 2), "a weight of shape (4, 6) has no dimension -3"),
        ((0, 2, 2), "rank 2 is not one of 0 to 1"),
        ((0, -1, 2), "rank -1 is not one of 0 to 1"),
        ((0, 0, 0), "0 parts: there must be at least one"),
        ((0, 0, 3), "4 elements of dimension 0 are not divisible by 3 ranks"),
        ((-1, 3, 4), "6 elements of dimension 1 are not divisible by 4 ranks"),
    ],
)
@pytest.mark.parametrize("whole", [linear(), np.zeros((4, 6))])
def test_a_contiguous_shard_that_cannot_be(whole, arguments, message):
    with pytest.raises(ParallelError) as caught:
        shard_weight(whole, *arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([0, 4], "index 4 is not one of 0 to 3"),
        ([-1, 2], "index -1 is not one of 0 to 3"),
        ([1, 2, 1], "an index is given twice"),
        ([[0], [1]], "expected a list of whole numbers"),
        ([0.5], "expected a list of whole numbers"),
    ],
)
def test_indices_that_cannot_be(indices, message):
    with pytest.raises(ParallelError, match=message):
        shard_weight(linear(), 0, indices=indices)


def test_a_rank_or_indices_but_not_both():
    for arguments in ({}, {"rank": 0}, {"rank": 0, "world_size": 1, "indices": [0]}):
        with pytest.raises(TypeError):
            shard_weight(np.zeros(4), 0, **arguments)


def halves(whole=None, dim=0):
    whole = linear() if whole is None else whole
    return [shard_weight(whole, dim, rank, 2) for rank in range(2)]


FLOATS = np.zeros((4, 6), np.float32)


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        ([], "no shards to merge"),
        (halves()[:1], "no shard holds index 2 of dimension 0"),
        (halves(FLOATS)[1:], "no shard holds index 0 of dimension 0"),
        ([halves(FLOATS)[0], halves(FLOATS.astype(int))[1]], "mixed dtypes: float32 and int64"),
        ([halves(FLOATS)[0], halves()[1]], "mixed kinds: Linear and ndarray"),
        ([halves(FLOATS)[0], halves(FLOATS[:, :5])[1]], "shape (2, 5) does not match the others"),
        (halves(FLOATS, 1), "along dimension 1 of 6 elements is not part of a weight that has 6"),
        ([halves()[0], halves(linear(6))[1]], "along dimension 0 of 6 elements is not part"),
        ([halves()[0], halves(linear(shift=21))[1]], "mixed shifts: 20 and 21"),
        ([WeightSlice(np.zeros(3), 0, np.arange(2), 4)], "shape (3,) does not match"),
    ],
)
def test_shards_that_are_no_weight(shards, message):
    with pytest.raises(ParallelError) as caught:
        merge_shards(shards, 0)
    assert message in str(caught.value)


def test_columns_of_matrices_with_other_multipliers_are_no_weight():
    other = linear()._replace(rescale=Rescale(np.full(4, 7), 20))
    with pytest.raises(ParallelError, match="the same rows have different multipliers"):
        merge_shards([halves(dim=1)[0], halves(other, 1)[1]], 1)
    with pytest.raises(ParallelError, match="no dimension 2"):
        merge_shards(halves(), 2)
