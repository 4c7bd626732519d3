"""Heads, KV heads and units dealt to ranks: every one owned, evenly, and errors that name both
numbers."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.errors import ModelError, ParallelError
from host.parallel.assignment import (
    LocalSizes,
    ShardingPlan,
    assign_heads,
    blocks,
    even_blocks,
    level,
)

ROOM = st.lists(st.integers(-5, 60), min_size=1, max_size=12)


@given(st.integers(0, 300), ROOM)
def test_level_deals_all_that_there_is_room_for_and_not_more(total, room):
    parts = level(total, room)
    assert all(0 <= part <= max(size, 0) for part, size in zip(parts, room, strict=True))
    assert sum(parts) == min(total, sum(max(size, 0) for size in room))


@given(st.integers(0, 300), ROOM)
def test_level_is_even_but_for_parts_that_are_full(total, room):
    parts = level(total, room)
    largest = max(parts)
    for part, size in zip(parts, room, strict=True):
        assert part >= largest - 1 or part == max(size, 0)
    unbounded = [part for part, size in zip(parts, room, strict=True) if part < size]
    assert unbounded == sorted(unbounded, reverse=True)


@given(st.integers(0, 300), st.lists(st.tuples(st.integers(-5, 60), st.integers(1, 240))))
def test_level_is_in_proportion_to_speeds_but_for_parts_that_are_full(total, chips):
    room, speeds = [size for size, _ in chips], [speed for _, speed in chips]
    parts = level(total, room, speeds)
    assert sum(parts) == min(total, sum(max(size, 0) for size in room))
    assert all(0 <= part <= max(size, 0) for part, size in zip(parts, room, strict=True))
    rates = [  # with one less the slowest of those that are not full, with one more the fastest
        ((part - 1) / speed, (part + 1) / speed if part < size else float("inf"))
        for part, size, speed in zip(parts, room, speeds, strict=True)
    ]
    assert all(less < more for (less, _), (_, more) in itertools.permutations(rates, 2))


@pytest.mark.parametrize(
    ("heads", "kv_heads", "chips", "dealt"),
    [
        (4, 4, 5, [(0,), (1,), (2,), (3,), ()]),
        (8, 8, 3, [(0, 3, 6), (1, 4, 7), (2, 5)]),
        # Two query heads share a KV head and stay together ...
        (8, 4, 1, [tuple(range(8))]),
        (8, 4, 3, [(0, 1, 6, 7), (2, 3), (4, 5)]),
        (8, 4, 4, [(0, 1), (2, 3), (4, 5), (6, 7)]),
        # ... also here, where splitting would leave the busiest chip with two heads all the same.
        (8, 4, 5, [(0, 1), (2, 3), (4, 5), (6, 7), ()]),
        (8, 4, 7, [(0, 1), (2, 3), (4, 5), (6, 7), (), (), ()]),
        # With a chip for each head, groups are split.
        (8, 4, 8, [(h,) for h in range(8)]),
        (8, 4, 9, [*((h,) for h in range(8)), ()]),
        (6, 2, 3, [(0, 3), (1, 4), (2, 5)]),
    ],
)
def test_heads_are_dealt_by_kv_group(heads, kv_heads, chips, dealt):
    assert assign_heads(heads, kv_heads, chips) == dealt


@given(st.integers(1, 8), st.integers(1, 6), st.integers(1, 60))
def test_every_head_is_dealt_once_and_no_kv_head_twice_without_need(kv_heads, group, chips):
    heads = kv_heads * group
    dealt = assign_heads(heads, kv_heads, chips)
    assert len(dealt) == chips
    assert sorted(head for own in dealt for head in own) == list(range(heads))
    holders = [{h // group for h in own} for own in dealt]
    if chips <= kv_heads:
        assert sum(map(len, holders)) == kv_heads
    # A split is worth it only where the busiest chip gets fewer heads than whole groups would be.
    by_group = -(-kv_heads // chips) * group
    if sum(map(len, holders)) > kv_heads:
        assert max(map(len, dealt)) < by_group
    else:
        assert max(map(len, dealt)) <= by_group


@given(st.integers(1, 8), st.integers(1, 6), st.integers(1, 60))
def test_groups_that_stay_together_hold_every_kv_head_once(kv_heads, group, chips):
    heads = kv_heads * group
    dealt = assign_heads(heads, kv_heads, chips, by_group=True)
    assert sorted(itertools.chain(*dealt)) == list(range(heads))
    assert sum(len({h // group for h in own}) for own in dealt) == kv_heads


@given(st.integers(1, 40), st.data(), st.integers(1, 20))
def test_heads_that_are_no_multiple_of_kv_heads_are_dealt_too(heads, data, world_size):
    kv_heads = data.draw(st.integers(1, heads))
    dealt = assign_heads(heads, kv_heads, world_size)
    assert sorted(itertools.chain(*dealt)) == list(range(heads))
    if world_size <= kv_heads:
        holders = [{h * kv_heads // heads for h in own} for own in dealt]
        assert sum(map(len, holders)) == kv_heads


def counts(plan):
    """(heads, KV heads, units) of each rank."""
    fields = zip(plan.heads, plan.kv_heads, plan.units, strict=True)
    return [tuple(map(len, of_rank)) for of_rank in fields]


def test_a_strict_plan_gives_all_ranks_the_same():
    plan = ShardingPlan.from_config(32, 8, 11008, 2, strict=True)
    assert plan.world_size == 2
    assert counts(plan) == [(16, 4, 5504)] * 2
    assert plan.units == (range(5504), range(5504, 11008))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((31, 8, 11008, 2), "31 heads are not divisible by 2 ranks"),
        ((32, 7, 11008, 2), "7 KV heads are not divisible by 2 ranks"),
        ((32, 8, 11007, 2), "11007 feed-forward units are not divisible by 2 ranks"),
        ((10, 4, 12, 2), "10 heads are not divisible by 4 KV heads"),
    ],
)
def test_a_strict_plan_refuses_a_remainder_and_names_both_numbers(numbers, message):
    with pytest.raises(ParallelError) as caught:
        ShardingPlan.from_config(*numbers, strict=True)
    assert str(caught.value) == message
    assert isinstance(caught.value, ModelError)  # which commands print as one line


@pytest.mark.parametrize(
    ("numbers", "dealt"),
    [
        ((31, 31, 11008, 2), [(16, 16, 5504), (15, 15, 5504)]),
        ((31, 8, 11008, 2), [(16, 4, 5504), (15, 4, 5504)]),
        ((32, 7, 11008, 2), [(17, 4, 5504), (15, 3, 5504)]),
        ((32, 8, 11007, 2), [(16, 4, 5504), (16, 4, 5503)]),
    ],
)
def test_a_plan_that_is_not_strict_deals_unevenly(numbers, dealt):
    assert counts(ShardingPlan.from_config(*numbers)) == dealt


def test_local_sizes_follow_from_the_head_size():
    plan = ShardingPlan.from_config(16, 4, 4096, 2, strict=True)
    sizes = plan.local_sizes(1, head_dim=1024 // 16)
    assert sizes == LocalSizes(heads=8, kv_heads=2, intermediate=2048, head_dim=64)
    assert (sizes.q_size, sizes.kv_size) == (512, 128)


def test_a_rank_without_heads_has_local_sizes_too():
    plan = ShardingPlan.from_config(4, 4, 7, 5)
    assert plan.heads == plan.kv_heads == ((0,), (1,), (2,), (3,), ())
    assert plan.local_sizes(4, 8) == LocalSizes(0, 0, 1, 8)
    assert plan.local_sizes(4, 8).q_size == 0


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 0, 8, 2), "0 heads cannot share 0 KV heads"),
        ((4, 8, 8, 2), "4 heads cannot share 8 KV heads"),
        ((4, 4, -1, 2), "-1 cannot be divided"),
        ((4, 4, 8, 0), "0 parts: there must be at least one"),
    ],
)
def test_numbers_that_no_layer_has_are_refused(numbers, message):
    with pytest.raises(ParallelError) as caught:
        ShardingPlan.from_config(*numbers)
    assert str(caught.value) == message


@pytest.mark.parametrize("rank", [-1, 2, 9])
def test_a_rank_that_is_not_there_is_refused(rank):
    with pytest.raises(ParallelError, match=f"rank {rank} is not one of 0 to 1"):
        ShardingPlan.from_config(4, 4, 8, 2).local_sizes(rank, 8)


@given(st.integers(0, 300), st.integers(1, 20))
def test_even_blocks_are_contiguous_with_the_remainder_first(total, parts):
    dealt = even_blocks(total, parts)
    assert list(itertools.chain(*dealt)) == list(range(total))
    assert [len(part) for part in dealt] == [
        total // parts + (i < total % parts) for i in range(parts)
    ]


def test_blocks_stand_one_after_another():
    assert blocks([2, 0, 3]) == [range(2), range(2, 2), range(2, 5)]
