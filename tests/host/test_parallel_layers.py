"""Parallel layers against the plain ones, for any dealing among 1 to 20 workers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.errors import ParallelError
from host.model.arithmetic import Rescale, matvec, rescale
from host.model.quantized import Linear
from host.parallel.assignment import even_blocks
from host.parallel.layers import ColumnParallelLinear, RowParallelLinear, all_gather
from host.parallel.sharding import shard_weight
from host.parallel.theory.embedding import ParallelEmbedding
from tests.host.divisions import WORLDS, dealt, linears

# Sums of such numbers are exact in all of these, or wrap around, in any order of adding.
DTYPES = st.sampled_from(["int16", "int32", "float32", "float64"])
SIZES = st.integers(1, 24)


@st.composite
def numbers(draw, *shape, dtype):
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    return random.integers(-9, 10, shape).astype(dtype)


@st.composite
def cases(draw):
    """weight [rows, columns], bias [rows] or None, x [2, 3, columns]."""
    rows, columns, dtype = draw(SIZES), draw(SIZES), draw(DTYPES)
    weight = draw(numbers(rows, columns, dtype=dtype))
    bias = draw(st.none() | numbers(rows, dtype=dtype))
    return weight, bias, draw(numbers(2, 3, columns, dtype=dtype))


def plain(weight, bias, x):
    y = x @ weight.T
    return y if bias is None else y + bias


@given(cases(), st.data())
def test_column_parallel_is_the_plain_layer(case, data):
    weight, bias, x = case
    owned = data.draw(dealt(len(weight)))
    layer = ColumnParallelLinear.split(weight, owned, bias)
    expected = plain(weight, bias, x)
    assert layer(x).dtype == expected.dtype
    np.testing.assert_array_equal(layer(x), expected)
    apart = ColumnParallelLinear.split(weight, owned, bias, gather_output=False)(x)
    assert len(apart) == len(owned)
    for part, own in zip(apart, owned, strict=True):
        np.testing.assert_array_equal(part, expected[..., own])


@given(cases(), st.data())
def test_row_parallel_is_the_plain_layer_with_its_bias_once(case, data):
    weight, bias, x = case
    owned = data.draw(dealt(weight.shape[1]))
    layer = RowParallelLinear.split(weight, owned, bias)
    expected = plain(weight, bias, x)
    np.testing.assert_array_equal(layer(x), expected)
    np.testing.assert_array_equal(layer([x[..., own] for own in owned]), expected)
    sums = layer.partial_sums(x)
    assert len(sums) == len(owned)
    np.testing.assert_array_equal(sum(sums), plain(weight, None, x))


@given(cases())
def test_one_worker_is_the_plain_layer(case):
    weight, bias, x = case
    expected = plain(weight, bias, x)
    column = ColumnParallelLinear([shard_weight(weight, 0, 0, 1)], bias)
    row = RowParallelLinear([shard_weight(weight, 1, 0, 1)], bias)
    for y in (column(x), row(x)):
        assert y.dtype == expected.dtype
        np.testing.assert_array_equal(y, expected)


@given(cases(), st.data(), SIZES)
def test_column_then_row_is_the_full_product(case, data, rows):
    first, bias, x = case
    second = data.draw(numbers(rows, len(first), dtype=first.dtype))
    second_bias = data.draw(st.none() | numbers(rows, dtype=first.dtype))
    owned = data.draw(dealt(len(first)))
    column = ColumnParallelLinear.split(first, owned, bias, gather_output=False)
    row = RowParallelLinear.split(second, owned, second_bias)
    expected = plain(second, second_bias, plain(first, bias, x))
    np.testing.assert_array_equal(row(column(x)), expected)


@given(linears(), st.data())
def test_quantized_layers_add_raw_accumulators_and_rescale_once(linear, data):
    rows, columns = linear.weight.shape
    x = data.draw(numbers(2, columns, dtype=np.int64)) * 3000
    expected = rescale(matvec(linear.weight, x), linear.rescale)
    column = ColumnParallelLinear.split(linear, data.draw(dealt(rows)))
    row = RowParallelLinear.split(linear, data.draw(dealt(columns)))
    np.testing.assert_array_equal(column(x), expected)
    np.testing.assert_array_equal(row(x), expected)
    np.testing.assert_array_equal(sum(row.partial_sums(x)), matvec(linear.weight, x))


@given(SIZES, SIZES, DTYPES, WORLDS, st.data())
def test_an_embedding_is_looked_up_at_its_owner(size, dim, dtype, world_size, data):
    table = data.draw(numbers(size, dim, dtype=dtype))
    indices = data.draw(st.lists(st.integers(0, size - 1), max_size=30))
    for owned in (even_blocks(size, world_size), data.draw(dealt(size))):
        shards = [shard_weight(table, 0, indices=own) for own in owned]
        embedding = ParallelEmbedding(shards)
        rows = embedding(indices)
        assert rows.dtype == table.dtype
        np.testing.assert_array_equal(rows, table[np.array(indices, int)])
        assert all(index in owned[embedding.owner(index)] for index in indices)
    square = np.zeros((2, 3), int)
    np.testing.assert_array_equal(embedding(square), table[square])


@pytest.mark.parametrize("index", [-1, 6, 100])
def test_an_index_out_of_range_raises(index):
    table = np.zeros((6, 2))
    embedding = ParallelEmbedding([shard_weight(table, 0, rank, 3) for rank in range(3)])
    for lookup in (embedding, embedding.owner, lambda wrong: embedding([0, wrong])):
        with pytest.raises(IndexError, match=f"index {index} is not one of 0 to 5"):
            lookup(index)


def test_what_is_held_twice_can_be_gathered_but_not_summed():
    weight, x = np.arange(12).reshape(3, 4), np.arange(4)
    column = ColumnParallelLinear.split(weight, [[0, 1], [1, 2]])
    np.testing.assert_array_equal(column(x), weight @ x)
    with pytest.raises(ParallelError, match="4 columns are held 5 times"):
        RowParallelLinear.split(weight, [[0, 1, 2], [2, 3]])


@pytest.mark.parametrize("owned", [[], [[0, 1]], [[0], [2]]])
@pytest.mark.parametrize("kind", [ColumnParallelLinear, RowParallelLinear])
def test_shards_that_are_no_weight_make_no_layer(kind, owned):
    with pytest.raises(ParallelError, match="no shard"):
        kind.split(np.zeros((3, 3)), owned)


@pytest.mark.parametrize("kind", [ColumnParallelLinear, RowParallelLinear])
def test_a_bias_has_an_element_for_each_row(kind):
    with pytest.raises(ParallelError, match="a bias of shape .2,. does not go with 3 rows"):
        kind.split(np.zeros((3, 3)), [range(3)], np.zeros(2))


def test_gathering_keeps_the_dtype():
    parts = [np.array([1, 3], "<i2"), np.array([2], "<i2")]
    whole = all_gather(parts, [range(0, 3, 2), range(1, 2)], 3)
    assert whole.dtype == np.int16 and whole.tolist() == [1, 2, 3]


def test_a_quantized_row_parallel_layer_takes_what_column_parallel_workers_leave():
    random = np.random.default_rng(0)
    weight = random.integers(-127, 128, (4, 6)).astype(np.int8)
    factors = Rescale(random.integers(1 << 14, 1 << 15, 4), 20)
    x = [random.integers(-99, 99, 4), random.integers(-99, 99, 2)]
    row = RowParallelLinear.split(Linear(weight, factors), [range(4), range(4, 6)])
    expected = rescale(matvec(weight, np.concatenate(x)), factors)
    np.testing.assert_array_equal(row(x), expected)
