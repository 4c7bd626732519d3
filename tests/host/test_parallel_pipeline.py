"""Stages, the GPipe schedule and micro-batches."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.errors import ParallelError
from host.executors.activity import idle_share
from host.parallel.theory.pipeline_schedule import (
    bubble_ratio,
    concatenate_batches,
    forward_schedule,
    split_batch,
    stage_layers,
)

SMALL = st.integers(1, 20)


@pytest.mark.parametrize(
    ("layers", "stages", "counts"),
    [(8, 4, [2, 2, 2, 2]), (10, 4, [3, 3, 2, 2]), (5, 5, [1] * 5), (5, 1, [5]), (5, 2, [3, 2])],
)
def test_the_first_stages_take_the_remainder(layers, stages, counts):
    assert [len(own) for own in stage_layers(layers, stages)] == counts


@given(SMALL, SMALL)
def test_the_idle_share_is_the_bubble_ratio_of_whole_micro_batches(stages, micro_batches):
    assert idle_share(stages, micro_batches) == pytest.approx(
        float(bubble_ratio(stages, micro_batches))
    )


@given(st.integers(1, 100), st.data())
def test_stages_are_all_layers_in_order(layers, data):
    stages = stage_layers(layers, data.draw(st.integers(1, layers)))
    assert [layer for own in stages for layer in own] == list(range(layers))
    assert min(map(len, stages)) >= 1


@pytest.mark.parametrize("stages", [-1, 0, 6])
def test_a_stage_has_at_least_one_layer(stages):
    with pytest.raises(ParallelError, match=f"5 layers cannot make {stages} stages"):
        stage_layers(5, stages)


def test_a_schedule_of_two_stages_and_three_micro_batches():
    assert forward_schedule(2, 3) == [[(0, 0)], [(0, 1), (1, 0)], [(0, 2), (1, 1)], [(1, 2)]]


@given(SMALL, SMALL)
def test_every_stage_gets_every_micro_batch_after_the_stage_before(stages, micro_batches):
    clocks = forward_schedule(stages, micro_batches)
    assert len(clocks) == stages + micro_batches - 1
    clock_of = {work: clock for clock, works in enumerate(clocks) for work in works}
    assert len(clock_of) == sum(map(len, clocks)) == stages * micro_batches
    for clock in clocks:
        busy = [stage for stage, _ in clock]
        assert len(set(busy)) == len(busy)
    for micro_batch in range(micro_batches):
        times = [clock_of[stage, micro_batch] for stage in range(stages)]
        assert all(after > before for before, after in pairwise(times))
    for stage in range(stages):
        times = [clock_of[stage, micro_batch] for micro_batch in range(micro_batches)]
        assert times == sorted(times)


def test_four_stages_and_sixteen_micro_batches_idle_three_nineteenths():
    assert bubble_ratio(4, 16) == Fraction(3, 19)
    assert bubble_ratio(1, 1) == 0


@given(SMALL, SMALL)
def test_the_bubble_is_what_the_schedule_leaves_idle(stages, micro_batches):
    clocks = forward_schedule(stages, micro_batches)
    slots, work = stages * len(clocks), sum(map(len, clocks))
    assert bubble_ratio(stages, micro_batches) == Fraction(slots - work, slots)


@pytest.mark.parametrize("counts", [(0, 1), (1, 0), (-2, 5)])
@pytest.mark.parametrize("of", [forward_schedule, bubble_ratio])
def test_a_pipeline_has_stages_and_work(counts, of):
    with pytest.raises(ParallelError, match=f"{counts[0]} stages and {counts[1]} micro-batches"):
        of(*counts)


@given(st.integers(1, 60), st.data(), st.sampled_from(["int16", "int32", "float32"]))
def test_micro_batches_concatenate_to_the_batch(size, data, dtype):
    batch = np.arange(size * 6).reshape(size, 2, 3).astype(dtype)
    count = data.draw(st.integers(1, size))
    parts = split_batch(batch, count)
    sizes = [len(part) for part in parts]
    assert len(parts) == count
    assert sizes == sorted(sizes, reverse=True) and max(sizes) - min(sizes) <= 1
    merged = concatenate_batches(parts)
    assert merged.dtype == batch.dtype
    np.testing.assert_array_equal(merged, batch)


def test_prompts_are_split_as_arrays_are():
    assert split_batch(["a", "b", "c"], 2) == [["a", "b"], ["c"]]


@pytest.mark.parametrize("count", [0, 4])
def test_a_micro_batch_is_not_empty(count):
    with pytest.raises(ParallelError, match=f"a batch of 3 cannot make {count} micro-batches"):
        split_batch([1, 2, 3], count)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "no micro-batches"),
        ([np.zeros((1, 2)), np.zeros((1, 3))], "does not follow"),
        ([np.zeros((1, 2)), np.zeros((1, 2), int)], "int64 .* does not follow one of float64"),
    ],
)
def test_micro_batches_that_do_not_go_together(parts, message):
    with pytest.raises(ParallelError, match=message):
        concatenate_batches(parts)
