"""The heap that plans count with, held to what simulated chips report."""

from bisect import bisect_left
from dataclasses import replace

import pytest

from host.build.shard import shard_file
from host.hardware.boards import load
from host.launch import SimulatedChips, open_cluster
from host.model.checkpoint import Config
from host.model.quantization.caches import narrow_caches
from host.model.quantization.quantize import quantize
from host.model.sampling import LARGE_VOCABULARY
from host.parallel import flash
from host.parallel.heap import usable_heap
from host.parallel.parallelism import (
    ALL_GATHER,
    ALL_REDUCE,
    HOST_REDUCE,
    REDUCERS,
    Parallelism,
)
from host.parallel.refusal import DoesNotFit
from host.parallel.strategies import find_strategy
from protocol.shard_layout import VECTORS
from tests.heap_use import kept_bytes
from tests.host.grouped_models import grouped_checkpoint, grouped_model
from tests.host.tiny import random_checkpoint
from tests.plans import stages_of, tensor_plan

# The shapes of stories260K, for which the constants were measured.
STORIES = Config(
    dim=64, hidden_dim=172, layers=5, heads=8, kv_heads=4, vocab_size=512, context=512
)
BY_HOST, BY_CHIPS = map(find_strategy, (HOST_REDUCE, ALL_REDUCE))
TOO_LITTLE, TOO_MUCH = 512, 0.02  # bytes, and the part of what is used


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint(STORIES))


def verify_need(cluster, spared=0):
    """What is planned for each chip is what it has in use, but for so many bytes."""
    used = kept_bytes(cluster.executor, cluster.coordinator)
    plan = cluster.executor.plan
    for shard in plan.shards:
        over = plan.heap_need(shard).kept - used[shard.chip] - spared
        assert -TOO_LITTLE <= over <= TOO_MUCH * used[shard.chip], (shard.chip, over)


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize(
    ("chips", "link", "heap_kb", "context"),
    [
        (1, "uart", 1024, 64),
        pytest.param(1, "uart", 1024, 256, marks=pytest.mark.verify),
        (1, "espnow", 1024, 64),
        pytest.param(1, "espnow", 1024, 256, marks=pytest.mark.verify),
        pytest.param(5, "uart", 160, 64, marks=pytest.mark.verify),
        pytest.param(5, "espnow", 176, 64, marks=pytest.mark.verify),
        # Heaps that plans fill to the last kilobyte.
        (5, "uart", 160, 256),
        (5, "espnow", 184, 256),
        pytest.param(20, "espnow", 164, 256, marks=pytest.mark.verify),
    ],
)
def test_the_need_is_what_chips_use(model, chips, link, heap_kb, context, secure):
    heap = heap_kb * 1024
    settings = SimulatedChips.alike(chips, link, signed=secure, heap=heap, context=context)
    with open_cluster(model, settings) as cluster:
        verify_need(cluster)


@pytest.mark.parametrize(
    ("chips", "link", "reduce"),
    [
        (3, "espnow", "host"),
        pytest.param(2, "uart", "chips", marks=pytest.mark.verify),
        pytest.param(1, "uart", "host", marks=pytest.mark.verify),
    ],
)
def test_the_need_of_int8_caches_is_what_chips_use(model, chips, link, reduce):
    settings = SimulatedChips.alike(
        chips, link, signed=True, heap=1 << 20, context=256,
        parallelism=Parallelism(reduce=reduce),
    )  # fmt: skip
    with open_cluster(narrow_caches(model), settings) as cluster:
        verify_need(cluster)


@pytest.mark.parametrize(
    ("reduce", "secure", "shorter"),
    [
        ("host", True, {}),
        ("chips", False, {}),
        pytest.param("chips", True, {2: 250}, marks=pytest.mark.verify),
        pytest.param("host", False, {0: 250}, marks=pytest.mark.verify),
    ],
)
def test_the_need_of_long_frames_is_what_chips_use(model, reduce, secure, shorter):
    settings = SimulatedChips.alike(
        3, "espnow", signed=secure, heap=1 << 20, context=64, radio_mtu=1470, shorter=shorter,
        parallelism=Parallelism(reduce=reduce),
    )  # fmt: skip
    with open_cluster(model, settings) as cluster:
        used = kept_bytes(cluster.executor, cluster.coordinator)
        plan = cluster.executor.plan
    for shard in plan.shards:
        over = plan.heap_need(shard).kept - used[shard.chip]
        # A chip whose radio has short frames alone needs less.
        most = TOO_MUCH * used[shard.chip] if shard.chip not in shorter else 1 << 20
        assert -TOO_LITTLE <= over <= most, (shard.chip, over)


@pytest.mark.parametrize(
    ("chips", "stages", "link", "secure"),
    [
        (3, 3, "uart", True),
        (3, 3, "ring", False),
        pytest.param(5, 5, "ring", True, marks=pytest.mark.verify),
        (5, 5, "espnow", False),
        pytest.param(5, 2, "espnow", True, marks=pytest.mark.verify),
        pytest.param(5, 2, "uart", False, marks=pytest.mark.verify),
    ],
)
def test_the_need_of_stages_is_what_they_use(model, chips, stages, link, secure):
    parallelism = stages_of(stages, chips)
    settings = SimulatedChips.alike(
        chips, link, signed=secure, heap=1 << 20, context=64, parallelism=parallelism
    )
    with open_cluster(model, settings) as cluster:
        verify_need(cluster)


@pytest.mark.parametrize(
    ("chips", "link", "secure"),
    [
        (5, "espnow", True),
        pytest.param(3, "uart", False, marks=pytest.mark.verify),
        pytest.param(10, "espnow", False, marks=pytest.mark.verify),
    ],
)
def test_the_need_of_all_gather_is_what_chips_use(model, chips, link, secure):
    settings = SimulatedChips.alike(
        chips, link, signed=secure, heap=1 << 20, context=64, parallelism=ALL_GATHER
    )
    with open_cluster(model, settings) as cluster:
        verify_need(cluster)


@pytest.mark.parametrize(
    ("parallelism", "link"),
    [
        (ALL_REDUCE, "espnow"),
        pytest.param(HOST_REDUCE, "uart", marks=pytest.mark.verify),
        pytest.param(ALL_GATHER, "espnow", marks=pytest.mark.verify),
        pytest.param(replace(ALL_REDUCE, weights="flash"), "uart", marks=pytest.mark.verify),
        pytest.param(replace(ALL_GATHER, weights="flash"), "uart", marks=pytest.mark.verify),
    ],
)
def test_the_need_of_weights_in_groups_is_what_chips_use(parallelism, link):
    config = replace(STORIES, hidden_dim=192, heads=3, kv_heads=3, head_dim=32)
    model = grouped_model(grouped_checkpoint(config))
    assert len(model.config.grouped) == 7
    of = SimulatedChips.alike(3, link, signed=True, context=64, parallelism=parallelism)
    with open_cluster(model, of) as cluster:
        verify_need(cluster)


IN_FLASH = [
    (HOST_REDUCE, "uart"),
    (ALL_REDUCE, "espnow"),
    pytest.param(HOST_REDUCE, "espnow", marks=pytest.mark.verify),
    pytest.param(ALL_REDUCE, "uart", marks=pytest.mark.verify),
    pytest.param(ALL_GATHER, "uart", marks=pytest.mark.verify),
]
STAGES_IN_FLASH = [
    pytest.param(stages_of(3, 3), "uart", marks=pytest.mark.verify),
    pytest.param(stages_of(2, 3), "espnow", marks=pytest.mark.verify),
]


@pytest.mark.parametrize(("parallelism", "link"), [*IN_FLASH, *STAGES_IN_FLASH])
def test_the_need_with_weights_in_flash_is_what_chips_use(model, parallelism, link):
    of = SimulatedChips.alike(
        3, link, context=64, parallelism=replace(parallelism, weights="flash")
    )
    with open_cluster(model, of) as cluster:
        verify_need(cluster)


@pytest.mark.parametrize(("parallelism", "link"), IN_FLASH)
def test_the_need_with_mapped_weights_is_what_chips_use(model, parallelism, link):
    """But for the buffers of blocks, which chips that map have no use for."""
    of = SimulatedChips.alike(
        3, link, context=64, parallelism=replace(parallelism, weights="flash-mapped")
    )
    with open_cluster(model, of) as cluster:
        verify_need(cluster, 2 * (flash.BLOCK + VECTORS))


@pytest.mark.parametrize("reduce", REDUCERS)
@pytest.mark.parametrize("layers", [1, 40])
def test_the_need_of_shallow_and_of_deep_models_is_what_chips_use(reduce, layers):
    """Each layer has objects beside its buffers, which of narrow ones are a good part."""
    narrow = replace(STORIES, dim=16, hidden_dim=20, heads=2, kv_heads=2, layers=layers)
    model = quantize(random_checkpoint(narrow))
    parallelism = Parallelism(reduce=reduce)
    settings = SimulatedChips.alike(
        2, "uart", heap=1 << 20, context=32, parallelism=parallelism
    )
    with open_cluster(model, settings) as cluster:
        verify_need(cluster)


@pytest.mark.verify
def test_norms_of_queries_and_keys_are_counted():
    """Those of each layer, and while a chip starts its header's numbers too."""
    model = quantize(random_checkpoint(replace(STORIES, layers=20, context=64, qk_norm=True)))
    with open_cluster(model, SimulatedChips.alike(2, "uart", heap=4 << 20)) as cluster:
        verify_need(cluster)


@pytest.mark.parametrize(
    ("reduce", "link", "secure"),
    [
        ("host", "uart", False),
        ("chips", "espnow", True),
        pytest.param("host", "espnow", True, marks=pytest.mark.verify),
        pytest.param("chips", "uart", True, marks=pytest.mark.verify),
    ],
)
def test_candidates_of_a_large_vocabulary_are_counted(reduce, link, secure):
    tokens = replace(STORIES, vocab_size=LARGE_VOCABULARY + 1)
    settings = SimulatedChips.alike(
        3, link, signed=secure, heap=1 << 20, context=64,
        parallelism=Parallelism(reduce=reduce),
    )  # fmt: skip
    with open_cluster(quantize(random_checkpoint(tokens)), settings) as cluster:
        verify_need(cluster)


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("link", ["uart", "espnow"])
@pytest.mark.parametrize("reduce", [pytest.param("host", marks=pytest.mark.verify), "chips"])
def test_the_smallest_heap_that_a_plan_takes_will_do(model, reduce, link, secure):
    board = load("simulated")
    mtu = board.mtu(link)
    heaps = range(100, 400)
    smallest = heaps[
        bisect_left(heaps, True, key=lambda kb: _fits(model, kb, mtu, secure, reduce))
    ]
    parallelism = Parallelism(reduce=reduce)
    settings = SimulatedChips.alike(
        5, link, signed=secure, heap=smallest * 1024, context=128, parallelism=parallelism
    )
    with open_cluster(model, settings) as cluster:
        verify_need(cluster)


def _fits(model, heap_kb, mtu, secure, reduce):
    try:
        tensor_plan(
            model, 5, 128, heap=heap_kb * 1024, mtu=mtu, signed=secure, reduce=reduce
        )
    except DoesNotFit:
        return False
    return True


def test_a_chip_reports_the_heap_that_is_usable_heap(model):
    with open_cluster(model, SimulatedChips.alike(1, "uart", heap=1 << 20, context=64)) as cluster:
        statistics = cluster.coordinator.statistics()[0]
    assert abs(statistics.heap_used + statistics.heap_free - usable_heap(1 << 20)) <= 64


@pytest.mark.parametrize("reduce", REDUCERS)
@pytest.mark.parametrize("chips", [1, 5, 8])
def test_weights_and_tables_are_those_of_the_shard_file(model, chips, reduce):
    """But for its header and digest; the rope table is made on the chip."""
    plan = tensor_plan(model, chips, reduce=reduce)
    for shard in plan.shards:
        need = plan.heap_need(shard)
        content = shard_file(model, plan, shard)
        header = 16 + int.from_bytes(content[12:16], "little")
        carried = len(content) - header - 32
        rope = 2 * (32 + 512 // 32) * STORIES.head_dim
        padding = 4 * (STORIES.layers + 1)
        assert 0 <= carried - (need.weights + need.tables - rope) <= padding
