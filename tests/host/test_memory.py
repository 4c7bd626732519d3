"""The heap that plans count with, held to what simulated chips report."""

from array import array
from bisect import bisect_left
from dataclasses import replace

import pytest

from host.build.shard import shard_file
from host.hardware.board import load
from host.launch import SimulatedChips, open_cluster
from host.model.checkpoint import Config
from host.model.quantization.quantize import quantize
from host.model.sampling import LARGE_VOCABULARY
from host.parallel.assignment import LocalSizes
from host.parallel.heap import norm_bytes, row_bytes, unit_bytes, usable_heap
from host.parallel.parallelism import ALL_REDUCE, HOST_REDUCE, REDUCERS, Parallelism
from host.parallel.plan import DoesNotFit
from host.parallel.shape import RESIDUAL_BITS, Shape
from host.parallel.strategies import find_strategy
from protocol.collective import Collective
from protocol.frame import HEADER_SIZE, MAX_FRAME, TRAILER_SIZE
from tests.heap_use import kept_bytes
from tests.host.tiny import random_checkpoint
from tests.plans import link_of, stages_of, tensor_plan

# The shapes of stories260K, for which the constants were measured.
STORIES = Config(
    dim=64, hidden_dim=172, layers=5, heads=8, kv_heads=4, vocab_size=512, context=512
)
BY_HOST, BY_CHIPS = map(find_strategy, (HOST_REDUCE, ALL_REDUCE))
TOO_LITTLE, TOO_MUCH = 512, 0.02  # bytes, and the part of what is used


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint(STORIES))


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
        used = kept_bytes(cluster.executor, cluster.coordinator)
        plan = cluster.executor.plan
    for shard in plan.shards:
        over = plan.heap_need(shard).kept - used[shard.chip]
        assert -TOO_LITTLE <= over <= TOO_MUCH * used[shard.chip], (shard.chip, over)


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
        used = kept_bytes(cluster.executor, cluster.coordinator)
        plan = cluster.executor.plan
    for shard in plan.shards:
        over = plan.heap_need(shard).kept - used[shard.chip]
        assert -TOO_LITTLE <= over <= TOO_MUCH * used[shard.chip], (shard.chip, over)


@pytest.mark.parametrize(
    ("parallelism", "link"),
    [
        (HOST_REDUCE, "uart"),
        (ALL_REDUCE, "espnow"),
        pytest.param(HOST_REDUCE, "espnow", marks=pytest.mark.verify),
        pytest.param(ALL_REDUCE, "uart", marks=pytest.mark.verify),
        pytest.param(stages_of(3, 3), "uart", marks=pytest.mark.verify),
        pytest.param(stages_of(2, 3), "espnow", marks=pytest.mark.verify),
    ],
)
def test_the_need_with_weights_in_flash_is_what_chips_use(model, parallelism, link):
    of = SimulatedChips.alike(
        3, link, context=64, parallelism=replace(parallelism, weights="flash")
    )
    with open_cluster(model, of) as cluster:
        used = kept_bytes(cluster.executor, cluster.coordinator)
        plan = cluster.executor.plan
    for shard in plan.shards:
        over = plan.heap_need(shard).kept - used[shard.chip]
        assert -TOO_LITTLE <= over <= TOO_MUCH * used[shard.chip], (shard.chip, over)


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
        used = kept_bytes(cluster.executor, cluster.coordinator)
        plan = cluster.executor.plan
    for shard in plan.shards:
        over = plan.heap_need(shard).kept - used[shard.chip]
        assert -TOO_LITTLE <= over <= TOO_MUCH * used[shard.chip], (shard.chip, over)


@pytest.mark.verify
def test_norms_of_queries_and_keys_are_counted():
    """Those of each layer, and while a chip starts its header's numbers too."""
    model = quantize(random_checkpoint(replace(STORIES, layers=20, context=64, qk_norm=True)))
    with open_cluster(model, SimulatedChips.alike(2, "uart", heap=4 << 20)) as cluster:
        used = kept_bytes(cluster.executor, cluster.coordinator)
        plan = cluster.executor.plan
    for shard in plan.shards:
        over = plan.heap_need(shard).kept - used[shard.chip]
        assert -TOO_LITTLE <= over <= TOO_MUCH * used[shard.chip], (shard.chip, over)


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
        used = kept_bytes(cluster.executor, cluster.coordinator)
        plan = cluster.executor.plan
    for shard in plan.shards:
        over = plan.heap_need(shard).kept - used[shard.chip]
        assert -TOO_LITTLE <= over <= TOO_MUCH * used[shard.chip], (shard.chip, over)


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
        used = kept_bytes(cluster.executor, cluster.coordinator)
        plan = cluster.executor.plan
    for shard in plan.shards:
        over = plan.heap_need(shard).kept - used[shard.chip]
        assert -TOO_LITTLE <= over <= TOO_MUCH * used[shard.chip], (shard.chip, over)


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


def shape(mtu=None, signed=False, **changes):
    fields = {"config": STORIES, "chips": 5, "context": 128, "positions": 2, "bits": 27, **changes}
    return Shape(link=link_of(mtu, signed), **fields)


def total(of_shape, heads=2, kv_heads=1, units=34, rows=102, chip=1):
    sizes = LocalSizes(heads, kv_heads, units, STORIES.head_dim)
    return BY_HOST.heap_need(of_shape, chip, sizes, rows).total


def test_units_and_rows_cost_their_weights_and_little_more():
    base = total(shape())
    assert 0 <= total(shape(), units=134) - base - 100 * unit_bytes(STORIES) <= 100 * 8
    assert 0 <= total(shape(), rows=202) - base - 100 * row_bytes(STORIES) <= 100 * 8 + 2 * 1024


def test_a_position_costs_its_keys_and_values_and_a_score():
    longer = total(shape(context=228)) - total(shape(context=128))
    keys_and_values = 100 * 2 * 2 * STORIES.head_dim * STORIES.layers
    assert 0 <= longer - keys_and_values - 4 * 100 <= 100 * STORIES.head_dim  # and its rope
    without = total(shape(context=228), 0, 0) - total(shape(context=128), 0, 0)
    assert 0 <= without <= 100 * STORIES.head_dim


def test_the_radio_costs_more_than_a_wire_and_the_gateway_most():
    wire, radio = shape(), shape(mtu=250)
    assert total(wire) < total(radio) < total(radio, chip=0)
    assert total(radio, chip=0) < total(shape(mtu=250, chips=20), chip=0)
    for mtu in (None, 250):
        assert total(shape(mtu)) < total(shape(mtu, signed=True))


@pytest.mark.parametrize(
    ("rows", "longest"),
    [(10, 8 + 10 + 432 + 12), (300, 8 + 12 + 600 + 12), (250, 8 + 12 + 1000 + 12)],
)
def test_the_longest_answer_is_of_partial_sums_or_of_logits(rows, longest):
    # 2 * 64 sums of 27 bits; of 250 rows, the logits of two positions are within a kilobyte.
    assert BY_HOST.answer_frame(shape(), rows) == longest


def contributed_frames(of_shape):
    """Lengths of the frames in which a chip contributes the widest sums, signed."""
    lengths = []
    room = (of_shape.mtu or MAX_FRAME) - HEADER_SIZE - TRAILER_SIZE[3]
    widest = array("i", [-(1 << (of_shape.bits - 1))] * of_shape.elements)

    def sent(frame, kind, dst, number, length):
        lengths.append(HEADER_SIZE + length + TRAILER_SIZE[3])

    exchange = Collective(0, [0, 1], of_shape.elements, of_shape.bits, room, sent, 1000)
    exchange.all_reduce(widest, len(widest))
    return lengths


@pytest.mark.parametrize("bits", [20, 27, 31])
@pytest.mark.parametrize(
    ("positions", "mtu"), [(1, None), (4, None), (1, 250), (2, 250), (2, 1470)]
)
def test_contributions_fit_the_buffers_that_are_planned(positions, mtu, bits):
    of_shape = shape(positions=positions, mtu=mtu, bits=bits)
    lengths = contributed_frames(of_shape)
    exchange = BY_CHIPS.exchange_frame(of_shape)
    assert max(lengths) <= exchange
    assert max(lengths) == exchange or len(lengths) > 1
    if mtu is None:
        assert BY_CHIPS.received_frame(of_shape) >= exchange
        assert BY_CHIPS.sent_frame(of_shape, rows=0) == exchange
        assert BY_CHIPS.uart_rxbuf(of_shape) >= 4 * sum(lengths)
    else:
        assert BY_CHIPS.radio_rxbuf(of_shape, gateway=False) >= 4 * sum(lengths)


def test_requests_of_chips_that_reduce_have_the_residual_stream():
    packed = 2 * 64 * RESIDUAL_BITS // 8
    # Header, the request's seven bytes, the collective's number and the width, trailer.
    assert BY_CHIPS.request_frame(shape()) == 8 + 7 + 3 + packed + 12
    # No partial sums, but the logits of both positions.
    assert BY_CHIPS.answer_frame(shape(), rows=100) == 8 + 12 + 2 * 200 + 12


@pytest.mark.parametrize("mtu", [None, 250])
def test_combining_costs_norms_and_vectors(mtu):
    """And what they need of the link's buffers."""
    by_host, by_chips = (
        strategy.heap_need(shape(mtu), 1, LocalSizes(2, 1, 34, 8), 102)
        for strategy in (BY_HOST, BY_CHIPS)
    )
    assert by_chips.weights == by_host.weights and by_chips.kv_cache == by_host.kv_cache
    assert by_chips.tables - by_host.tables == norm_bytes(STORIES) == 5 * 8 * 64 + 2 * 64
    vectors = 5 * 4 * 2 * 64
    assert vectors < by_chips.buffers - by_host.buffers < vectors + 4 * 1000
