"""What every strategy must keep: a new one is tested by being in the registry."""

from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.cli.run_options import parse_options
from host.errors import ParallelError
from host.model.checkpoint import Config
from host.model.quantization.quantize import quantize
from host.parallel.cost.traffic import count_traffic, widest_sums
from host.parallel.heap import usable_heap
from host.parallel.options import parse_parallelism
from host.parallel.parallelism import Parallelism
from host.parallel.partition import partition
from host.parallel.refusal import DoesNotFit
from host.parallel.strategies import STRATEGIES, find_strategy, list_candidates
from host.paths import SOURCES
from tests.host.tiny import random_checkpoint
from tests.plans import link_of

CONFIG = Config(dim=36, hidden_dim=44, layers=4, heads=6, kv_heads=3, vocab_size=80, context=96)
ANY = 1 << 20  # wide enough for all
LINKS = st.builds(link_of, st.sampled_from([None, 250]), st.booleans())


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint(CONFIG))


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda one: f"{one.name}, {one.role}")
def test_it_has_an_executor_on_the_host_and_a_role_on_a_chip(strategy):
    assert import_module(f"host.executors.{strategy.executor}").EXECUTOR
    assert (SOURCES / "firmware" / "roles" / f"{strategy.role}.py").is_file()
    assert strategy.summary


def test_each_is_found_by_what_it_makes():
    for chips in (1, 2, 5, 8):
        for parallelism in list_candidates(CONFIG.layers, chips, ANY):
            strategy = find_strategy(parallelism)
            assert parallelism in strategy.candidates(CONFIG.layers, chips)
    with pytest.raises(ParallelError, match="^no strategy 'ring' in which partial sums"):
        find_strategy(Parallelism("ring"))


def test_its_options_ask_for_it():
    for parallelism in list_candidates(CONFIG.layers, 5, ANY):
        options = parse_options(find_strategy(parallelism).describe_options(parallelism).split())
        named = options.parallel, options.stages, options.reduce
        made = parse_parallelism(*named, CONFIG.layers, 5, exchange=options.exchange)
        assert made == parallelism


@given(st.integers(1, 12), LINKS, st.data())
def test_its_plan_holds_everything_once(model, chips, link, data):
    parallelism = data.draw(st.sampled_from(list_candidates(CONFIG.layers, chips, ANY)))
    plan = partition(model, chips, parallelism=parallelism, link=link)
    assert plan.parallelism == parallelism and plan.strategy is find_strategy(parallelism)
    assert plan.link == link and plan.chips == chips == len(plan.shards)
    assert [layer for stage in plan.stages for layer in stage.layers] == list(range(4))
    assert [chip for stage in plan.stages for chip in stage.chips] == list(range(chips))
    for stage in plan.stages:
        shards = [plan.shards[chip] for chip in stage.chips]
        assert sorted(head for shard in shards for head in shard.heads) == list(range(6))
        assert [unit for shard in shards for unit in shard.units] == list(range(44))
    assert [row for shard in plan.shards for row in shard.rows] == list(range(80))


@given(st.integers(1, 9), LINKS, st.integers(90, 260), st.data())
def test_its_plan_fits_or_says_what_would(model, chips, link, heap_kb, data):
    parallelism = data.draw(st.sampled_from(list_candidates(CONFIG.layers, chips, ANY)))
    heap = heap_kb * 1024
    try:
        plan = partition(model, chips, parallelism=parallelism, link=link, heap=heap)
    except DoesNotFit as problem:
        assert f"{heap_kb} KB of heap" in str(problem)
        return
    for shard in plan.shards:
        assert plan.heap_need(shard).total <= usable_heap(heap)


@given(st.integers(1, 9), LINKS, st.booleans(), st.data())
def test_what_it_sends_is_received_and_fits_its_buffers(model, chips, link, greedy, data):
    parallelism = data.draw(st.sampled_from(list_candidates(CONFIG.layers, chips, ANY)))
    plan = partition(model, chips, parallelism=parallelism, link=link)
    token = plan.strategy.synchronizations(plan, greedy, widest_sums(plan))
    used = count_traffic(plan, token)
    assert sum(count.frames for count in used.chips_sent) > 0 < used.sent.frames
    around = 8 + 12  # header, and the longest trailer
    for each in token:
        for message in (*each.requests, *each.answers):
            for chip in range(chips):
                shape = plan.stage_of(chip).shape
                rows = len(plan.shards[chip].rows)
                if message.source == chip and link.mtu is None:
                    assert around + message.payload <= plan.strategy.sent_frame(shape, rows)
                if message.destination == chip and link.mtu is None:
                    assert around + message.payload <= plan.strategy.received_frame(shape)
