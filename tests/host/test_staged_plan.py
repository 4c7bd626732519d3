"""Plans of pipelines and hybrids: whole layers on stages, nothing lost, nothing held twice."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.build.shard import shard_file
from host.errors import ModelError, ParallelError
from host.model.checkpoint import Config
from host.model.outline import Outline
from host.model.quantization.quantize import quantize
from host.parallel.distribution import distribute
from host.parallel.options import parse_parallelism
from host.parallel.parallelism import ALL_REDUCE, HOST_REDUCE, hybrid, pipeline
from host.parallel.plan import Resources
from host.parallel.refusal import DoesNotFit
from host.parallel.shaping import make_shape
from host.parallel.strategies import list_candidates
from host.parallel.strategies.pipeline import STRATEGY, count_stages
from tests.host.tiny import random_checkpoint
from tests.plans import link_of, staged_plan, tensor_plan

STORIES = Config(
    dim=64, hidden_dim=172, layers=5, heads=8, kv_heads=4, vocab_size=512, context=512
)


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint(STORIES))


def layers(plan):
    return [len(stage.layers) for stage in plan.stages]


def groups(plan):
    return [len(stage.chips) for stage in plan.stages]


@given(chips=st.integers(1, 12), stages=st.integers(1, 5))
def test_every_layer_head_unit_and_row_is_held_once(model, chips, stages):
    if stages > chips:
        return
    plan = staged_plan(model, chips, stages)
    assert [i for stage in plan.stages for i in stage.layers] == list(range(5))
    assert [chip for stage in plan.stages for chip in stage.chips] == list(range(chips))
    assert [shard.chip for shard in plan.shards] == list(range(chips))
    for stage in plan.stages:
        own = [plan.shards[chip] for chip in stage.chips]
        assert sorted(head for shard in own for head in shard.heads) == list(range(8))
        assert sorted(unit for shard in own for unit in shard.units) == list(range(172))
    rows = [row for shard in plan.shards for row in shard.rows]
    assert rows == list(range(512))
    last = plan.stages[-1].chips
    assert all((len(shard.rows) > 0) == (shard.chip in last) for shard in plan.shards)
    assert plan.slots == stages + 1


def test_layers_go_evenly_and_the_remainder_to_the_first(model):
    assert layers(staged_plan(model, 1, 1)) == [5]
    assert layers(staged_plan(model, 2, 2)) == [3, 2]
    assert layers(staged_plan(model, 3, 3)) == [2, 2, 1]
    assert layers(staged_plan(model, 5, 5)) == [1] * 5


def test_larger_groups_come_last_and_hold_more_layers(model):
    plan = staged_plan(model, 5, 2)
    assert groups(plan) == [2, 3] and layers(plan) == [2, 3]
    plan = staged_plan(model, 8, count_stages(5, 8))
    assert groups(plan) == [1, 1, 2, 2, 2] and layers(plan) == [1] * 5


def test_where_heaps_differ_layers_go_by_what_fits(model):
    roomy, tight = 1 << 20, 190 * 1024
    assert layers(staged_plan(model, 2, 2, 64, heap=[roomy, roomy])) == [3, 2]
    assert layers(staged_plan(model, 2, 2, 64, heap=[tight, roomy])) == [1, 4]
    assert layers(staged_plan(model, 2, 2, 64, heap=[roomy, tight])) == [5 - 1, 1]


@given(
    heaps=st.lists(st.integers(90_000, 250_000), min_size=1, max_size=3),
    first=st.sampled_from([0, 2]),
    vocabulary=st.sampled_from([0, 512]),
    mtu=st.sampled_from([None, 250]),
    room=st.sampled_from([0, 150_000]),
)
def test_chips_that_hold_some_layers_hold_fewer(heaps, first, vocabulary, mtu, room):
    """The planner looks for the most layers by halves."""
    chips = first + len(heaps)
    resources = Resources((0,) * chips, (1,) * chips, link_of(mtu), 64, flash=(room,) * chips)
    shape = replace(make_shape(STRATEGY, Outline(STORIES), resources), chips=len(heaps), last=1)

    def fits(count):
        few = replace(shape, config=replace(STORIES, layers=count))
        return not distribute(STRATEGY, few, heaps, (1,) * chips, first, vocabulary).missing

    fitting = [fits(count) for count in range(1, 9)]
    assert fitting == sorted(fitting, reverse=True)


def test_where_speeds_differ_layers_go_by_how_fast_groups_are(model):
    assert layers(staged_plan(model, 2, 2, speeds=[240, 160])) == [3, 2]
    assert layers(staged_plan(model, 2, 2, speeds=[160, 240])) == [2, 3]
    assert layers(staged_plan(model, 2, 2, speeds=[1, 100])) == [1, 4]
    assert layers(staged_plan(model, 3, 3, speeds=[1, 1, 3])) == [1, 1, 3]
    assert layers(staged_plan(model, 4, 2, speeds=[4, 4, 1, 1])) == [4, 1]
    assert staged_plan(model, 5, 2, speeds=[7] * 5) == staged_plan(model, 5, 2)


def test_a_group_deals_units_and_rows_by_speed(model):
    plan = staged_plan(model, 4, 2, speeds=[1, 3, 3, 1])
    assert layers(plan) == [3, 2]
    slow, fast, fast_last, slow_last = plan.shards
    assert (len(slow.units), len(fast.units)) == (43, 129)
    assert (len(fast_last.units), len(slow_last.units)) == (129, 43)
    assert (len(fast_last.rows), len(slow_last.rows)) == (384, 128)
    assert len(slow.heads) == len(fast.heads)


def test_slow_boards_with_large_heaps_get_what_fast_ones_have_no_room_for(model):
    tight, roomy = 190 * 1024, 1 << 20
    assert layers(staged_plan(model, 2, 2, 64, heap=[tight, roomy], speeds=[100, 1])) == [1, 4]


@pytest.mark.parametrize("speeds", [[1], [1, 0], [1, 2, 3]])
def test_speeds_that_cannot_be(model, speeds):
    with pytest.raises(ModelError, match="give 2, all above 0"):
        staged_plan(model, 2, 2, speeds=speeds)


@given(
    st.integers(1, 5).flatmap(
        lambda stages: st.tuples(
            st.just(stages), st.lists(st.integers(1, 500), min_size=stages, max_size=9)
        )
    )
)
def test_every_stage_has_a_layer_whatever_the_speeds(model, case):
    stages, speeds = case
    plan = staged_plan(model, len(speeds), stages, speeds=speeds)
    assert sum(layers(plan)) == 5 and min(layers(plan)) >= 1


def test_caches_are_as_many_as_there_is_room_for(model):
    slots = [
        staged_plan(model, 5, 5, 256, heap=kb * 1024).slots for kb in (215, 250, 300, 500)
    ]
    assert slots == sorted(slots) and slots[0] < slots[-1] == 6


def test_what_does_not_fit_says_how_many_chips_would_do(model):
    with pytest.raises(DoesNotFit, match="^in 5 stages, 5 chips with 160 KB of heap") as caught:
        staged_plan(model, 5, 5, 32, heap=160 * 1024)
    enough = caught.value.chips
    assert enough == 6
    staged_plan(model, enough, count_stages(5, enough), 32, heap=160 * 1024)
    with pytest.raises(DoesNotFit, match="use more boards, or boards with more heap"):
        staged_plan(model, 2, 2, heap=[160 * 1024, 200 * 1024])


@pytest.mark.parametrize(("chips", "stages"), [(5, 6), (2, 3), (5, 0)])
def test_stages_that_cannot_be(model, chips, stages):
    with pytest.raises(ModelError, match=f"^stages must be 1 to {min(5, chips)} for 5 layers on"):
        staged_plan(model, chips, stages)


def test_a_stage_holds_its_layers_only(model):
    whole = len(shard_file(model, *_with_share(tensor_plan(model, 1, reduce="chips"), 0)))
    parts = [len(shard_file(model, *_with_share(staged_plan(model, 5, 5), c))) for c in range(5)]
    assert len(set(parts[:4])) <= 2 and max(parts) < whole / 2
    assert parts[4] - parts[0] == pytest.approx(512 * 66, abs=64)


def _with_share(plan, chip):
    return plan, plan.shards[chip]


def test_a_parallelism_by_options():
    assert parse_parallelism(None, None, None, 5, 5) is None
    assert parse_parallelism("auto", None, None, 5, 5) is None
    assert parse_parallelism("tensor", None, None, 5, 5) == HOST_REDUCE
    assert parse_parallelism(None, None, "chips", 5, 5) == ALL_REDUCE
    assert parse_parallelism("tensor", None, "chips", 5, 5) == ALL_REDUCE
    assert parse_parallelism("pipeline", None, None, 5, 8) == pipeline(5)
    assert parse_parallelism("hybrid", None, "chips", 5, 8) == hybrid(2)
    assert parse_parallelism("hybrid", 3, None, 5, 8) == hybrid(3)
    with pytest.raises(ParallelError, match="--stages is for --parallel hybrid"):
        parse_parallelism("pipeline", 2, None, 5, 5)
    with pytest.raises(ParallelError, match="the chips add up partial sums"):
        parse_parallelism("hybrid", 2, "host", 5, 5)


def test_candidates():
    assert [len(list_candidates(5, chips)) for chips in (1, 2, 3)] == [2, 3, 4]
    assert len(list_candidates(2, 8)) == 3  # a pipeline of two stages is that hybrid


def test_the_advice_is_true(model):
    for chips, stages, context, kb in ((5, 5, 256, 180), (6, 2, 512, 200), (4, 2, 300, 150)):
        heap = kb * 1024
        with pytest.raises(DoesNotFit) as caught:
            staged_plan(model, chips, stages, context, heap=heap)
        advice = re.fullmatch(
            rf"in {stages} stages, {chips} chips with {kb} KB of heap are \d+ KB short of the"
            rf" model with a context of {context}(?:: (\d+) chips would do|, and no number of"
            r" chips up to 40 would do: use boards with more heap)(?:, or --context (\d+))?",
            str(caught.value),
        )
        assert advice, caught.value
        enough, less = (int(found or 0) for found in advice.groups())
        assert (caught.value.chips or 0) == enough
        if enough:
            staged_plan(model, enough, count_stages(5, enough) if stages == 5 else stages, context,
                   heap=heap)  # fmt: skip
        if less:
            staged_plan(model, chips, stages, less, heap=heap)
        with pytest.raises(DoesNotFit):
            staged_plan(model, chips, stages, max(less, 15) + 1, heap=heap)
