"""Attention of a chip's heads against the plain statement of it, to the bit."""

from firmware.compute.attention import Attention
from firmware.compute.workspace import Workspace
from protocol.fields import int32s
from tests.firmware.plain import write_u16
from tests.firmware.samples import mixed
from tests.firmware.shards import Part, kernels_of, weights_of
from tests.firmware.tiny import LIMIT, TinyModel


class Chip:
    """One chip's attention with its own weights, caches and buffers."""

    def __init__(self, model, chip, chips):
        self.part = Part(model, chip, chips)
        self._weights = weights_of(model, self.part)
        self._workspace = Workspace(self._weights.layout)
        self._attention = Attention(self._weights, self._workspace, kernels_of(model))
        self._out = int32s(model.dim)

    def partial(self, layer, position, x):
        for i, value in enumerate(x):
            self._workspace.x[i] = value
        self._attention.run(self._weights.layers[layer], position, self._out)
        return list(self._out)


def check(model, chips, positions):
    """Every chip's partial sums at these positions, and that they add up to those of one chip."""
    workers = [Chip(model, chip, chips) for chip in range(chips)]
    for position in positions:
        for layer in range(len(model.layers)):
            x = model.activations()[0]
            total = [0] * model.dim
            for worker in workers:
                partial = worker.partial(layer, position, x)
                assert partial == model.attention(layer, position, x, worker.part.heads)
                total = [a + b for a, b in zip(total, partial)]
            assert total == model.attention(layer, position, x, range(model.heads))


def test_grouped_heads_on_one_and_on_two_chips():
    for chips in (1, 2):
        check(TinyModel(seed=chips), chips, range(12))


def test_a_kv_head_for_each_head():
    check(TinyModel(seed=3, kv_heads=4), 3, range(6))


def test_one_kv_head_for_all():
    check(TinyModel(seed=4, kv_heads=1), 1, range(6))


def test_head_sizes_2_and_12():
    check(TinyModel(seed=5, dim=8, head_dim=2, heads=4, kv_heads=2), 2, range(5))
    check(TinyModel(seed=6, dim=24, head_dim=12, heads=2, kv_heads=2), 2, range(5))


def test_heads_narrower_and_wider_than_the_residual_stream():
    check(TinyModel(seed=9, dim=20, head_dim=2, heads=4, kv_heads=2), 2, range(5))
    check(TinyModel(seed=10, dim=12, head_dim=8, heads=4, kv_heads=2), 2, range(5))


def test_int8_caches():
    check(TinyModel(seed=12, int8_kv=True), 2, range(12))
    check(TinyModel(seed=13, dim=24, head_dim=12, heads=2, kv_heads=2, int8_kv=True), 1, range(6))


def test_int8_caches_take_a_byte_for_each_number_and_one_for_each_row():
    model = TinyModel(seed=12, int8_kv=True)
    weights = Chip(model, 0, 1)._weights
    rows = model.kv_heads * model.context
    caches = [cache for layer in weights.layers for cache in (layer.keys, layer.values)]
    assert [len(cache) for cache in caches] == [rows * (model.head_dim + 1)] * 4
    # The chip counts them before it makes them.
    more = sum(rows * 2 * model.head_dim - len(cache) for cache in caches)
    model.int8_kv = False
    assert weights.bytes + more == Chip(model, 0, 1)._weights.bytes


def test_positions_beyond_the_near_rows_of_the_rope_table():
    check(TinyModel(seed=7, context=70, layers=1, heads=2, kv_heads=1), 1, range(70))


def test_the_last_positions_of_a_long_context():
    """With caches that are full of what positions before have left."""
    model = TinyModel(seed=11, dim=4, head_dim=2, heads=1, kv_heads=1, layers=1, context=8192)
    chip, layer, begin = Chip(model, 0, 1), model.layers[0], 8190
    own = chip._weights.layers[0]
    # A few of them, for a chip's heap has no room for lists of all.
    left = [(mixed(-layer.k_limit, layer.k_limit, 2), mixed(-LIMIT, LIMIT, 2)) for _ in range(99)]
    for position in range(begin):
        key, value = left[position % 99]
        layer.keys[0][position], layer.values[0][position] = key, value
        for i in range(2):
            write_u16(own.keys, 2 * position + i, key[i] + own.key_zero)
            write_u16(own.values, 2 * position + i, value[i] + 32768)
    for position in range(begin, 8192):
        x = model.activations()[0]
        assert chip.partial(0, position, x) == model.attention(0, position, x, [0])


def test_a_position_computed_again_gives_the_same_and_forgets_nothing():
    model = TinyModel(seed=8, layers=1)
    chip = Chip(model, 0, 1)
    inputs = model.activations(6)
    first = [chip.partial(0, position, x) for position, x in enumerate(inputs)]
    for position in (2, 5, 0, 3):
        assert chip.partial(0, position, inputs[position]) == first[position]


def test_some_activations_saturate_and_some_do_not():
    """Or the clipping would be tested by nothing."""
    model = TinyModel(seed=1)
    for position in range(12):
        model.attention(0, position, model.activations()[0], [0])
    layer = model.layers[0]
    for cache, limit in ((layer.keys, layer.k_limit), (layer.values, layer.v_limit)):
        cached = [abs(v) for v in sum((row for row in cache[0] if row), [])]
        assert 0 < cached.count(limit) < len(cached)
