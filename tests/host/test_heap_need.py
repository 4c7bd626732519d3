"""The heap that plans count with: what more of everything costs, and the sizes of buffers."""

from array import array

import pytest

from host.model.checkpoint import Config
from host.parallel.assignment import LocalSizes
from host.parallel.heap import norm_bytes, row_bytes, unit_bytes
from host.parallel.parallelism import ALL_REDUCE, HOST_REDUCE
from host.parallel.shape import RESIDUAL_BITS, Shape
from host.parallel.strategies import find_strategy
from protocol.collective import Collective
from protocol.frame import HEADER_SIZE, MAX_FRAME, TRAILER_SIZE
from tests.plans import link_of

# The shapes of stories260K, for which the constants were measured.
STORIES = Config(
    dim=64, hidden_dim=172, layers=5, heads=8, kv_heads=4, vocab_size=512, context=512
)
BY_HOST, BY_CHIPS = map(find_strategy, (HOST_REDUCE, ALL_REDUCE))


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
