"""Models that are larger than all heaps: what of their weights stays in heaps beside the flash."""

import re
from dataclasses import replace

import pytest

from host.errors import ModelError
from host.hardware.boards import load
from host.model.checkpoint import Config
from host.model.outline import Outline
from host.parallel.assignment import LocalSizes
from host.parallel.boards import BoardSet
from host.parallel.cost.latency import LatencyModel
from host.parallel.cost.read_ahead import ReadAhead
from host.parallel.cost.reading import (
    FLASH,
    PSRAM,
    flash_bytes_of,
    phase_bytes,
    read_weights,
    time_reading,
)
from host.parallel.cost.traffic import widest_sums
from host.parallel.flash import BLOCK, CHUNK, CHUNKS, VOCABULARY, ahead_bytes, split_resident
from host.parallel.heap import usable_heap
from host.parallel.parallelism import ALL_GATHER, ALL_REDUCE, HOST_REDUCE, hybrid
from tests.firmware.flash_roles import Asked
from tests.firmware.shards import Part
from tests.firmware.tiny import TinyModel
from tests.simulation.launch import REPOSITORY

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
        buffers = ahead_bytes(plan.block(shard.chip)) if any(plan.buffers(shard.chip)) else 0
        assert room <= more - buffers < room + 40_000
        assert room == 0 or buffers > 0
        left = usable_heap(heap) - plan.heap_need(shard).total
        # All of the heap but for what other buffers lose, or too little for it to pay.
        assert 0 < left < 180_000 if room else left < 800_000
    assert max(plan.resident) > 6_800_000


def test_filled_heaps_have_room_to_exchange_natively():
    """As much as firmware/compute/program.py demands, and what it takes on an emulated chip."""
    source = (REPOSITORY / "firmware" / "compute" / "program.py").read_text()
    room, of_layer = (
        int(re.search(rf"^{name} = const\((\w+)\)$", source, re.M)[1])
        for name in ("_ROOM", "_LAYER_ROOM")
    )
    plan = plan_of(10, "auto", ALL_REDUCE)
    heaps = boards(10, "auto").heaps(plan.parallelism)
    for shard, heap in zip(plan.shards, heaps, strict=True):
        left = usable_heap(heap) - plan.heap_need(shard).total
        assert plan.resident_room(shard.chip) and left > room + 30 * of_layer + 11_500


def test_small_heaps_are_left_to_what_comes_and_goes():
    esp32 = BoardSet((load("esp32s3"),) * 6, "uart", 64, True, "pins", weights="auto")
    plan = esp32.plan(STORIES15M, replace(HOST_REDUCE, weights="auto"))
    assert plan.block(0) and max(plan.resident) == 0


@pytest.mark.parametrize("parallelism", [HOST_REDUCE, ALL_GATHER])
def test_phases_are_read_from_their_places(parallelism):
    plan = plan_of(10, "auto", parallelism)
    token = plan.strategy.synchronizations(plan, True, widest_sums(plan))
    for chip in (0, 9):
        resident, flash = read_weights(plan, chip, N16R8)
        assert (resident.place, flash.place) == (PSRAM, FLASH)
        assert 0 < resident.bytes <= plan.resident_room(chip)
        assert resident.bytes > plan.resident_room(chip) - 600_000
        passed = sum(phase_bytes(plan, chip, each) for each in token)
        assert resident.bytes + flash.bytes == passed
        assert flash.bytes == sum(flash_bytes_of(plan, chip, each) for each in token)
        times = [time_reading(plan, chip, N16R8, each) for each in token]
        assert sum(of.buffered for of in times) == pytest.approx(flash.seconds)
        # All of it comes from PSRAM in the end.
        direct = sum(of.direct for of in times)
        assert direct == pytest.approx(passed / N16R8.psram_rate)


def test_the_vocabulary_comes_first_and_then_attention():
    plan = plan_of(10, "auto")
    sizes = plan.local_sizes(plan.shards[0])
    vocabulary, attention = 576 * 100, 2 * 576 * (sizes.q_size + sizes.kv_size) * 30
    for room in (0, vocabulary, attention // 2, attention + vocabulary, 1 << 30):
        resident, read = split_resident(SMOLLM2.config, sizes, 100, room, rows_first=True)
        assert sum(resident.values()) <= room and not set(resident) & set(read)
        assert len(resident) + len(read) == 4 * 30 + 1
        assert (VOCABULARY in resident) == (room > 0)
        left = [size for (layer, part), size in read.items() if layer >= 0 and part < 2]
        before = split_resident(SMOLLM2.config, sizes, 100, room)[0]
        assert VOCABULARY not in before or len(before) > 2 * 30
        if left:  # what was too little for a matrix of attention may do for a smaller one
            others = [size for (layer, part), size in resident.items() if part >= 2]
            assert sum(others) < max(left)
    assert not read


def test_chips_and_plans_keep_the_same_matrices(tmp_path):
    """Firmware and model choose by themselves which fit into the same room."""
    config = Config(16, 12, 7, 4, 2, 26, 40, head_dim=4)
    for room in range(0, 6000, 250):
        part = Part(TinyModel(units=12, rows=26, layers=7), 0, 1)
        model, first = TinyModel(units=12, rows=26, layers=7), room // 250 % 2 > 0
        asked = Asked(model, part, 64, resident=room, rows_first=first)
        resident, _ = split_resident(config, LocalSizes(4, 2, 12, 4), 26, room, rows_first=first)
        kept = {id(buffer): len(buffer) for buffer, _ in asked.blocks.resident.values()}
        assert sorted(kept.values()) == sorted(size for size in resident.values() if size)


@pytest.mark.parametrize("weights", ["auto", "flash"])
def test_a_chip_that_waits_reads_ahead(weights):
    """As much as its buffers hold, and in whole pieces."""
    plan = plan_of(10, weights, ALL_REDUCE)
    count, size = plan.buffers(0) if weights == "auto" else (2, plan.block(0))
    assert (count, size) == ((CHUNKS, CHUNK) if weights == "auto" else (2, BLOCK))
    piece = min(size, 8192)
    rate = piece * 1000
    ahead = ReadAhead(plan, [rate] * 9 + [None])
    assert ahead.take(0, 0.5) == 0.5 and ahead.wait(9, 1.0) == ahead.take(9, 0.0) == 0
    assert ahead.wait(0, 0.0004) == pytest.approx(0.0006)
    assert ahead.take(0, 0.5) == pytest.approx(0.499)
    assert ahead.wait(0, 99.0) == 0
    room = (count - 1) * size / rate
    assert ahead.take(0, 1.0) == pytest.approx(1.0 - room)
    assert ahead.take(1, 1.0) == 1.0  # each has its own


def test_reading_ahead_makes_tokens_faster():
    """By no more than chips wait, and no chip reads less."""
    plan = plan_of(10, "auto", ALL_REDUCE)
    token = plan.strategy.synchronizations(plan, True, widest_sums(plan))
    boards = (N16R8,) * 10
    model = LatencyModel(plan, boards)
    latency, chips = model.latency(token, 64), model.chips
    busy = [
        sum(chips.compute(chip, each, 64) + chips.read(chip, each) for each in token)
        for chip in range(10)
    ]
    together = sum(
        max(chips.compute(chip, each, 64) + chips.read(chip, each) for chip in range(10))
        for each in token
    )
    assert max(busy) <= latency.total
    assert latency.compute + latency.reading < together
    assert latency.links + latency.waits + together > latency.total


def test_the_vocabulary_stays_first_only_where_all_chips_have_room_for_it():
    """Otherwise some wait for others that read it."""
    assert plan_of(10, "auto").rows_first
    assert not plan_of(10, "flash").rows_first
    wide = Outline(Config(512, 1376, 8, 8, 8, 32_000, 1024), 32)
    plan = boards(3, "auto", 256).plan(wide, replace(ALL_REDUCE, weights="auto"))
    rows = [len(shard.rows) * 512 for shard in plan.shards]
    assert min(plan.resident) < max(rows) and not plan.rows_first
    for chip in range(3):
        read = read_weights(plan, chip, N16R8)
        assert [each.place for each in read] == [PSRAM, FLASH] and read[1].bytes >= rows[chip]
