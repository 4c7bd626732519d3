"""Plans in which chips exchange activations: what each finishes, what that takes, when it pays."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.errors import ModelError, ParallelError
from host.hardware.boards import load
from host.model.arithmetic import add_residual
from host.model.checkpoint import Config
from host.model.outline import Outline
from host.model.quantization.quantize import quantize
from host.parallel.boards import BoardSet
from host.parallel.cost.latency import LatencyModel
from host.parallel.cost.traffic import count_traffic, widest_sums
from host.parallel.cost.widths import SumWidths
from host.parallel.fitting import list_parallelisms
from host.parallel.heap import usable_heap
from host.parallel.options import parse_parallelism
from host.parallel.parallelism import ALL_GATHER, ALL_REDUCE, HOST_REDUCE
from host.parallel.partition import partition
from host.parallel.refusal import DoesNotFit
from host.parallel.sharded_model import ShardedModel
from host.parallel.strategies.all_gather import describe_gather, list_head_columns
from tests.host.tiny import random_checkpoint
from tests.plans import link_of

NARROW = Config(dim=24, hidden_dim=40, layers=2, heads=6, kv_heads=3, vocab_size=60, context=32)
# As wide as SmolLM2-135M, in one layer.
WIDE = Config(dim=576, hidden_dim=1536, layers=1, heads=9, kv_heads=3, vocab_size=90, context=32)


@pytest.fixture(scope="module")
def narrow():
    return quantize(random_checkpoint(NARROW))


@pytest.fixture(scope="module")
def wide():
    return quantize(random_checkpoint(WIDE))


def air(model, parallelism, mtu=250, chips=10):
    """Bytes of a token's frames on the air, with numbers as wide as they are."""
    plan = partition(model, chips, parallelism=parallelism, link=link_of(mtu, True))
    widths = SumWidths(model, plan)
    widths.run_typical(4)
    token = plan.strategy.synchronizations(plan, True, widths.widths)
    return count_traffic(plan, token).air.bytes


@settings(max_examples=40)
@given(st.integers(1, 24), st.lists(st.integers(1, 9), min_size=24, max_size=24))
def test_each_element_is_finished_by_one_chip(narrow, chips, speeds):
    plan = partition(narrow, chips, parallelism=ALL_GATHER, speeds=speeds[:chips])
    assert [at for shard in plan.shards for at in shard.elements] == list(range(24))
    assert all(shard.elements for shard in plan.shards)
    heads, units, stream, longest = describe_gather(plan)
    assert (heads[-1], units[-1], stream[-1]) == (24, 40, 24)
    for edges in (heads, units, stream):
        assert max(np.diff(edges), default=0) <= longest
    size = NARROW.head_dim
    for shard, first in zip(plan.shards, heads, strict=False):
        own = list_head_columns(plan)[first : first + size * len(shard.heads)]
        assert [column // size for column in own[::size]] == list(shard.heads)


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(0, 2**31), st.data())
def test_what_chips_finish_is_the_whole_models_residual_stream(narrow, chips, seed, data):
    """With rows of the projections in place of columns the sums are the same."""
    plan = partition(narrow, chips, parallelism=ALL_GATHER)
    random = np.random.default_rng(seed)
    x = random.integers(-32767, 32768, (1, 24))
    stream = random.integers(-(1 << 24) + 1, 1 << 24, 24)
    layer, columns = narrow.layers[1], list_head_columns(plan)
    sharded = ShardedModel.of(narrow, plan)
    means = np.concatenate(sharded.heads(1, x, 0), axis=1)[0]
    partial = np.sum(sharded.attention(1, x, 0), axis=0)[0]
    expected = add_residual(stream, partial, layer.o.rescale)
    for shard in plan.shards:
        own = slice(shard.elements.start, shard.elements.stop)
        sums = layer.o.weight[own].astype(np.int64)[:, columns] @ means
        rescale = layer.o.rescale._replace(multiplier=layer.o.rescale.multiplier[own])
        assert (add_residual(stream[own], sums, rescale) == expected[own]).all()


@settings(max_examples=30)
@given(st.integers(2, 12), st.integers(110, 300), st.booleans())
def test_what_is_dealt_fits_as_it_is_settled(narrow, chips, heap_kb, on_air):
    heap, link = heap_kb * 1024, link_of(250 if on_air else None)
    try:
        plan = partition(narrow, chips, parallelism=ALL_GATHER, link=link, heap=heap)
    except DoesNotFit:
        return
    for shard in plan.shards:
        sizes, rows = plan.local_sizes(shard), len(shard.rows)
        bound = plan.strategy.heap_need(plan.shape, shard.chip, sizes, rows)
        assert plan.heap_need(shard).total <= bound.total <= usable_heap(heap)


@pytest.mark.parametrize("chips", [2, 3, 7, 20])
def test_chips_with_few_groups_of_units_leave_some_without_any(chips: int) -> None:
    """Fewer groups than chips: none is refused for a part that is less than a group."""
    config = replace(NARROW, dim=32, hidden_dim=64, groups="w2")
    plan = partition(Outline(config), chips, parallelism=ALL_GATHER)
    counts = [len(shard.units) for shard in plan.shards]
    assert sorted(counts)[-2:] == [32, 32] and sum(counts) == 64
    assert plan.strategy.longest_part(plan.shape) >= 32


def test_bytes_do_not_grow_with_chips_and_are_a_quarter_for_ten(wide):
    reduced = {chips: air(wide, ALL_REDUCE, chips=chips) for chips in (5, 10)}
    gathered = {chips: air(wide, ALL_GATHER, chips=chips) for chips in (5, 10)}
    assert reduced[10] > 1.8 * reduced[5]  # one of ten has no heads
    assert gathered[10] < 1.1 * gathered[5]
    # Each element takes up to 16 bits, or as many as the residual stream has, once.
    elements = 2 * WIDE.dim + WIDE.heads * WIDE.head_dim + WIDE.hidden_dim
    assert gathered[10] < elements * 25 // 8 + 5000
    assert gathered[10] / reduced[10] < 0.26
    assert gathered[10] / air(wide, HOST_REDUCE) < 0.26


@pytest.mark.parametrize(
    ("board", "mtu", "dim", "is_faster"),
    [("esp32c6", 250, 576, True), ("esp32s3", 1470, 24, False), ("esp32s3", None, 576, True)],
)
def test_it_pays_where_bytes_are_slow(narrow, wide, board, mtu, dim, is_faster):
    """At 1 Mbit/s, and on lines through the host; where partial sums are a short frame each,
    twice as many cost more."""
    model = wide if dim == WIDE.dim else narrow
    boards = (load(board).with_mtu(mtu) if mtu else load(board),) * 10

    def seconds(parallelism):
        plan = partition(model, 10, parallelism=parallelism, link=link_of(mtu, True))
        token = plan.strategy.synchronizations(plan, True, widest_sums(plan))
        return LatencyModel(plan, boards).latency(token, 16).total

    assert (seconds(ALL_GATHER) < seconds(ALL_REDUCE)) == is_faster


def test_the_planner_considers_it_for_wide_models_on_several_chips(narrow, wide):
    s3 = load("esp32s3")
    assert ALL_GATHER in list_parallelisms(wide.config, BoardSet((s3,) * 5, "espnow"))
    assert ALL_GATHER not in list_parallelisms(wide.config, BoardSet((s3,) * 2, "espnow"))
    assert ALL_GATHER not in list_parallelisms(narrow.config, BoardSet((s3,) * 5, "espnow"))
    assert ALL_GATHER not in list_parallelisms(wide.config, BoardSet((s3,) * 5, "uart"))


def test_more_chips_than_elements_are_refused(narrow):
    with pytest.raises(ModelError, match="^25 chips cannot share the 24 elements"):
        partition(narrow, 25, parallelism=ALL_GATHER)


def test_options_ask_for_it_and_contradictions_are_refused():
    assert parse_parallelism(None, None, None, 5, 3, exchange="all-gather") == ALL_GATHER
    assert parse_parallelism("tensor", None, "chips", 5, 3, exchange="all-gather") == ALL_GATHER
    assert parse_parallelism(None, None, None, 5, 3, exchange="all-reduce") == ALL_REDUCE
    for parallel, reduce in ((None, "host"), ("pipeline", None), ("hybrid", "chips")):
        with pytest.raises(ParallelError, match="^--exchange all-gather is for --parallel tensor"):
            parse_parallelism(parallel, None, reduce, 5, 3, exchange="all-gather")
    with pytest.raises(ParallelError, match="leave --exchange out"):
        parse_parallelism("auto", None, None, 5, 3, exchange="all-gather")
