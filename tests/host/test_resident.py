"""Models that are larger than all heaps: what of their weights stays in heaps beside the flash."""

from dataclasses import replace

import pytest

from host.errors import ModelError
from host.hardware.board import load
from host.model.checkpoint import Config
from host.model.outline import Outline
from host.parallel.boards import BoardSet
from host.parallel.cost.reading import FLASH, PSRAM, phase_bytes, phase_rates, read_weights
from host.parallel.cost.traffic import widest_sums
from host.parallel.flash import split_resident
from host.parallel.heap import usable_heap
from host.parallel.parallelism import ALL_GATHER, ALL_REDUCE, HOST_REDUCE, hybrid
from protocol.messages import PHASE_ATTENTION

# Of SmolLM2-135M, with the widest sums that there can be.
SMOLLM2 = Outline(Config(576, 1536, 30, 9, 3, 49_152, 8192), 32)
STORIES15M = Outline(Config(288, 768, 6, 6, 6, 32_000, 256), 32)
N16R8 = load("esp32s3-n16r8")


def boards(count, weights, context=128):
    return BoardSet((N16R8,) * count, "uart", context, True, "pins", weights=weights)


def plan_of(count, weights, parallelism=HOST_REDUCE):
    return boards(count, weights).plan(SMOLLM2, replace(parallelism, weights=weights))


def test_kv_heads_are_held_once_where_twice_leave_no_room():
    few, enough = plan_of(10, "flash"), plan_of(11, "flash")
    assert [len(shard.heads) for shard in few.shards] == [3] * 3 + [0] * 7
    assert [len(shard.heads) for shard in enough.shards] == [1] * 9 + [0] * 2
    assert sum(len(shard.kv_heads) for shard in few.shards) == 3
    assert sum(len(shard.kv_heads) for shard in enough.shards) == 9
    for shard in few.shards:
        assert few.flash_need(shard, 16) <= N16R8.weights_room
    with pytest.raises(ModelError, match="10 chips would do"):
        plan_of(9, "flash")


@pytest.mark.parametrize("parallelism", [HOST_REDUCE, ALL_REDUCE, ALL_GATHER, hybrid(2)])
def test_large_heaps_hold_what_of_the_flash_has_room_beside_all_else(parallelism):
    plan = plan_of(10, "auto", parallelism)
    without = plan_of(10, "flash", parallelism)
    assert plan.shards == without.shards and without.resident == ()
    heaps = boards(10, "auto").heaps(plan.parallelism)
    for shard, heap in zip(plan.shards, heaps, strict=True):
        room = plan.resident_room(shard.chip)
        more = plan.heap_need(shard).total - without.heap_need(shard).total
        assert room <= more < room + 40_000
        left = usable_heap(heap) - plan.heap_need(shard).total
        # All of the heap but for what other buffers lose, or too little for it to pay.
        assert 0 < left < 180_000 if room else left < 800_000
    assert max(plan.resident) > 7_000_000


def test_small_heaps_are_left_to_what_comes_and_goes():
    esp32 = BoardSet((load("esp32s3"),) * 6, "uart", 64, True, "pins", weights="auto")
    plan = esp32.plan(STORIES15M, replace(HOST_REDUCE, weights="auto"))
    assert plan.block(0) and max(plan.resident) == 0


@pytest.mark.parametrize("parallelism", [HOST_REDUCE, ALL_GATHER])
def test_a_phase_is_read_as_fast_as_its_places_together(parallelism):
    plan = plan_of(10, "auto", parallelism)
    token = plan.strategy.synchronizations(plan, True, widest_sums(plan))
    for chip in (0, 9):
        resident, flash = read_weights(plan, chip, N16R8)
        assert (resident.place, flash.place) == (PSRAM, FLASH)
        assert 0 < resident.bytes <= plan.resident_room(chip)
        assert resident.bytes > plan.resident_room(chip) - 600_000
        passed = sum(phase_bytes(plan, chip, each) for each in token)
        assert resident.bytes + flash.bytes == passed
        rates = phase_rates(plan, chip, N16R8)
        seconds = sum(
            size / rates[each.phase]
            for each in token
            if (size := phase_bytes(plan, chip, each))
        )
        assert seconds == pytest.approx(resident.seconds + flash.seconds)


def test_attention_comes_first():
    plan = plan_of(10, "auto")
    sizes = plan.local_sizes(plan.shards[0])
    attention = 2 * 576 * (sizes.q_size + sizes.kv_size) * 30
    for room, expected in ((0, 0), (attention // 2, attention // 2), (attention, attention)):
        resident, read = split_resident(SMOLLM2.config, sizes, 100, room)
        assert sum(resident.values()) <= room
        assert abs(resident[PHASE_ATTENTION] - expected) < 300_000
        assert resident[PHASE_ATTENTION] + read[PHASE_ATTENTION] == attention
        assert not resident or set(resident) == {PHASE_ATTENTION}
