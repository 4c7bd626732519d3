"""Loading a shard file, and refusing one that is damaged, another chip's, or too large."""

import gc
import hashlib
import math

from firmware.compute import shard
from firmware.compute.shard import ShardError, load_weights
from firmware.compute.shard_sizes import places_in_layer
from firmware.compute.tensor_parallel import BufferOverflow
from protocol.shard_layout import DOWN_WEIGHTS, QKV_WEIGHTS
from tests.dual import raises
from tests.firmware.nodes import HEAP_FREE
from tests.firmware.plain import EXP_TABLE, SIGMOID_TABLE, read_u16, u16_buffer
from tests.firmware.requests import compute
from tests.firmware.shards import MODEL_HASH, Part, file_of, in_file, weights_of
from tests.firmware.tiny import TinyModel, turn
from tests.protocol.noise import below, flipped


class _ChipHeap:
    """MicroPython's gc module, for CPython."""

    @staticmethod
    def collect():
        pass

    @staticmethod
    def mem_free():
        return HEAP_FREE


def refusal(data, chip=0, exception=ShardError):
    """What a chip says of a file with these bytes."""
    return str(raises(exception, in_file, data, load_weights, chip))


def test_a_shard_is_loaded_into_buffers_of_its_own():
    model = TinyModel(seed=1)
    part = Part(model, 1, 2)
    weights = weights_of(model, part)
    assert weights.model_hash == MODEL_HASH
    assert weights.digest == file_of(model, part)[-32:-24]
    assert weights.exp_table == u16_buffer(EXP_TABLE)
    assert weights.sigmoid_table == u16_buffer(SIGMOID_TABLE)
    assert weights.layout["heads"] == part.heads and weights.layout["kv_heads"] == part.kv_heads
    assert len(weights.layers) == 2
    for layer, plain in zip(weights.layers, model.layers):
        assert read_u16(layer.weights, 0) == plain.q.multipliers[part.heads[0] * 4]
        first = layer.weights[weights.places[5]]
        assert first == plain.q.rows[part.heads[0] * 4][0] + 128
        assert list(layer.qkv_scales) == [
            4 * len(part.heads), plain.q.shift, plain.q_limit,
            4 * len(part.kv_heads), plain.k.shift, plain.k_limit,
            4 * len(part.kv_heads), plain.v.shift, plain.v_limit,
        ]  # fmt: skip
        assert list(layer.gate_up_scales) == [
            len(part.units), plain.gate.shift, 32767, len(part.units), plain.up.shift, 32767
        ]  # fmt: skip
        assert (layer.key_zero, layer.score_shift) == (plain.k_limit + 1, plain.score_shift)
        assert layer.gating == (plain.index_shift, plain.product_shift, plain.limit)
        # Each KV head's position has head_dim entries of two bytes.
        assert len(layer.keys) == len(layer.values) == 2 * 1 * model.context * 4
    assert read_u16(weights.vocabulary, 0) == model.classifier.multipliers[part.rows[0]]


def test_the_norms_stay_with_a_host_that_combines():
    model = TinyModel(seed=1)
    weights = weights_of(model, Part(model, 1, 2))
    assert not hasattr(weights, "final_gain") and not weights.layout["has_norms"]
    assert all(layer.norms is None for layer in weights.layers)


def test_a_chip_that_combines_holds_the_norms():
    model = TinyModel(seed=1, dim=20)
    part = Part(model, 1, 3)
    weights = weights_of(model, part, combine=True)
    assert weights.layout["members"] == bytes([0, 1, 2])
    for layer, plain in zip(weights.layers, model.layers):
        attention, feed_forward = plain.attention_norm, plain.feed_forward_norm
        gains = [
            attention.stored(), plain.o.multipliers,
            feed_forward.stored(), plain.down.multipliers,
        ]  # fmt: skip
        assert layer.norms == u16_buffer(gains[0] + gains[1] + gains[2] + gains[3])
        assert layer.attention_norm == [attention.shift, attention.epsilon, attention.limit]
        assert layer.feed_forward_norm == feed_forward.numbers()
        assert (layer.o_shift, layer.down_shift) == (plain.o.shift, plain.down.shift)
        assert (layer.qkv_scales[1], layer.gating[2]) == (plain.q.shift, plain.limit)
    assert weights.final_gain == u16_buffer(model.final_norm.stored())
    assert weights.final_norm == model.final_norm.numbers()
    # What follows the norms in the file is where it belongs.
    assert read_u16(weights.vocabulary, 0) == model.classifier.multipliers[part.rows[0]]
    first = weights.layers[1].weights[weights.places[5]]
    assert first == model.layers[1].q.rows[part.heads[0] * 4][0] + 128


def test_the_bytes_told_are_those_of_the_buffers():
    for chip in range(5):
        model = TinyModel(seed=2, kv_heads=4, rows=3, units=4)
        for combine in (False, True):
            weights = weights_of(model, Part(model, chip, 5), combine)
            held = [weights.exp_table, weights.sigmoid_table, weights.rope_table]
            held += [weights.vocabulary, weights.final_gain if combine else b""]
            for layer in weights.layers:
                held += [layer.weights, layer.keys, layer.values, layer.norms or b""]
            assert weights.bytes == sum(len(buffer) for buffer in held)


def test_matrices_begin_one_after_another():
    model = TinyModel(seed=3)
    layout = weights_of(model, Part(model)).layout
    places = places_in_layer(layout)
    assert places[:5] == [0, 32, 48, 64, 86]  # multipliers of q 16, k 8, v 8, gate and up 11 rows
    assert places[5:10] == [108, 108 + 512, 620 + 256, 876 + 352, 1228 + 176]
    assert places[9] % 4 == 0
    rows = model.rows
    assert places[10:12] == [2 * rows, 2 * rows + rows * 16 + -(2 * rows + rows * 16) % 4]
    assert places[12:] == [16, 16, 16, 11]  # columns


def test_padded_matrices_begin_at_multiples_of_the_padding():
    model = TinyModel(seed=3)
    layout = weights_of(model, Part(model)).layout
    layout["columns"] = 4  # 11 units have 12 columns
    places = places_in_layer(layout)
    assert places[5:10] == [108, 108 + 512, 620 + 256, 876 + 352, 1228 + 16 * 12]
    layout["columns"] = 16  # and a bias for each row
    places = places_in_layer(layout)
    assert places[5:9] == [112, 112 + 512 + 128, 752 + 256 + 64, 1072 + 352 + 96]
    assert all(place % 16 == 0 for place in places[5:9] + places[10:12])


def test_matrices_in_groups_begin_at_multiples_of_16_whatever_the_padding():
    layout = weights_of(TinyModel(seed=3), Part(TinyModel(seed=3))).layout
    layout["dim"] = layout["units"] = 64
    layout["weights"] = [QKV_WEIGHTS, DOWN_WEIGHTS]
    places = places_in_layer(layout)
    assert places[:6] == [0, 32, 48, 64, 64 + 128, 64 + 256]
    ends = [320 + 32 * 36, 1472 + 64 * 16, 2496 + 128 * 64, 10688 + 64 * 36]
    assert places[6:10] == ends
    assert places[12:] == [-64, 16, 64, -64]


def test_the_longest_request_is_that_of_all_positions():
    model = TinyModel(seed=4, positions=3)
    weights = weights_of(model, Part(model))
    assert weights.request_size == len(compute(model.activations(3)))
    weights = weights_of(model, Part(model), combine=True)
    # Seven bytes that name a request, three more of a STEP, 48 fields of 25 bits.
    assert weights.request_size == 7 + 3 + 150


def test_a_chip_that_combines_has_no_room_for_partial_sums_in_answers():
    model = TinyModel(seed=4)
    size = weights_of(model, Part(model), combine=True).answer_size
    # The request, boot id, first row and shift, and 13 logits of two bytes.
    assert 7 + 5 + 26 <= size < weights_of(model, Part(model)).answer_size


def test_the_rope_table_has_near_and_far_positions():
    model = TinyModel(seed=5, context=300)
    table = weights_of(model, Part(model)).rope_table
    positions = list(range(32)) + list(range(0, 300, 32))
    assert len(table) == len(positions) * 2 * 2 * 2
    for row, position in enumerate(positions):
        for pair in range(2):
            at = 2 * (2 * row + pair)
            cosine, sine = [read_u16(table, i) - 16384 for i in (at, at + 1)]
            assert (cosine, sine) == turn(model.rope[pair], position)
            angle = position * 10000.0 ** (-2 * pair / model.head_dim)
            assert abs(cosine - math.cos(angle) * 16384) < 0.6
            assert abs(sine - math.sin(angle) * 16384) < 0.6


def test_another_chips_shard_is_refused():
    model = TinyModel(seed=1)
    data = file_of(model, Part(model, 1, 2))
    assert in_file(data, load_weights, 1)
    assert "chip 1's, this is chip 0" in refusal(data, 0)


def test_another_format_is_refused():
    model = TinyModel(seed=1)
    for version in (0, 3, 6, 259):
        message = refusal(file_of(model, Part(model), version))
        assert "format %d" % version in message and "reads 5" in message


def test_heads_that_the_rule_does_not_give_are_refused():
    model = TinyModel(seed=1)
    assert "heads [0, 1]" in refusal(file_of(model, Part(model), heads=[0, 1]))
    assert "heads" in refusal(file_of(model, Part(model), kv_heads=[0]))


def test_a_flipped_bit_anywhere_is_noticed():
    model = TinyModel(seed=1)
    data = file_of(model, Part(model))
    header = 16 + (data[12] | data[13] << 8)
    for byte in list(range(0, header, 5)) + [header, header + 2000, len(data) - 33, len(data) - 1]:
        assert "flash" in refusal(flipped(data, 8 * byte + below(8))), byte


def test_a_file_cut_short_or_too_long_is_refused():
    model = TinyModel(seed=1)
    data = file_of(model, Part(model))
    for length in (0, 1, 15, 16, 40, 400, len(data) // 2, len(data) - 32, len(data) - 1):
        assert "flash" in refusal(data[:length]), length
    assert "SHA-256" in refusal(data + b"\0")


def test_a_header_that_promises_more_than_the_file_has_is_refused():
    model = TinyModel(seed=1)
    assert "cut short" in refusal(file_of(model, Part(model), rows=40))


def test_a_header_that_lacks_a_field_is_refused():
    model = TinyModel(seed=1)
    data = file_of(model, Part(model))
    for name in ("next", "has_norms", "bits"):
        damaged = data.replace(
            ('"%s"' % name).encode(), ('"%s"' % name.upper()).encode()
        )[:-32]
        damaged += hashlib.sha256(damaged).digest()
        assert "has no " + name in refusal(damaged)


def test_a_file_that_is_no_shard_is_refused():
    assert "is not one" in refusal(b"import machine\nmachine.reset()\n" * 9)


def test_a_missing_file_is_told():
    message = str(raises(ShardError, load_weights, "nowhere/shard.bin", 0))
    assert "nowhere/shard.bin" in message and "flash" in message


def test_a_share_that_does_not_fit_names_chip_heads_and_bytes():
    model = TinyModel(seed=1)
    part = Part(model, 1, 2)
    if not hasattr(gc, "mem_free"):
        shard.gc = _ChipHeap
    try:
        gc.collect()
        free = shard.gc.mem_free()
        # 2 layers, 1 KV head of 4 elements, keys and values of 2 bytes: 32 for each position.
        message = refusal(file_of(model, part, context=free // 32), 1, BufferOverflow)
        assert message.startswith("chip 1: 2 heads with their shard of 2 layers need ")
        needed, available = [int(word) for word in message.split() if word.isdigit()][-2:]
        assert needed > free // 32 * 32 and 0 < available < needed
        # Here the share would fit, but not what has to work with it.
        gc.collect()
        free = shard.gc.mem_free()
        refusal(file_of(model, part, context=(free - 20000) // 32), 1, BufferOverflow)
        assert in_file(file_of(model, part), load_weights, 1).bytes < free
    finally:
        shard.gc = gc


def test_a_heap_in_small_pieces_is_told_in_the_same_words():
    def no_piece(*_):
        raise MemoryError("memory allocation failed")

    model = TinyModel(seed=1)
    layer, shard.Layer = shard.Layer, no_piece
    try:
        message = refusal(file_of(model, Part(model)), 0, BufferOverflow)
    finally:
        shard.Layer = layer
    assert message.startswith("chip 0: 4 heads with their shard of 2 layers need ")
    assert "pieces" in message
