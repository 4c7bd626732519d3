"""Weights that stay in flash: what is read of them, and that it changes no result."""

import random

from firmware.compute.blocks import Blocks
from firmware.compute.linear import Linear
from firmware.outbox import NeedKV
from host.wire.payloads import decode_partial
from protocol.fields import int32s, put_u32
from protocol.flash_layout import matrix_bytes, rows_bytes, rows_in_block, spread
from protocol.shard_layout import PAIRS, VECTORS
from tests.dual import raises
from tests.firmware.flash_chips import MemoryPartition
from tests.firmware.flash_roles import Asked, assert_answers
from tests.firmware.requests import (
    ATTENTION,
    FEED_FORWARD,
    VOCABULARY,
    compute,
    expected_sums,
    unpacked,
)
from tests.firmware.samples import mixed
from tests.firmware.shards import Part, file_of
from tests.firmware.tiny import TinyModel
from tests.protocol.noise import below


def padded_kernel(columns, padding):
    """A kernel in plain Python for rows that are filled up, each stored whole."""

    def kernel(w, _, y, x, rows, at):
        stride = columns + -columns % padding
        for row in range(rows):
            if padding == VECTORS:
                bias = at + rows * stride + 4 * row
                assert at % VECTORS == 0 and w[bias : bias + 4] == bytes([row & 255] * 4)
            if padding == PAIRS and row < rows & ~1:
                begin, step = at + (row & ~1) * stride + row % 2, 2
            else:
                begin, step = at + row * stride, 1
            weights = [w[begin + step * i] for i in range(columns)]
            y[row] = sum([(a - 128) * x[i] for i, a in enumerate(weights)])

    return kernel


def stored_padded(rows, padding, at_once):
    """The rows as the kernel above reads them, with marks in the place of biases."""
    content = bytearray()
    for first in range(0, len(rows), at_once):
        block = rows[first : first + at_once]
        columns = len(block[0])
        filled = columns + -columns % padding
        full = [[w + 128 for w in row] + [128] * (filled - columns) for row in block]
        if padding == PAIRS:
            for upper in range(1, len(full), 2):
                for pair in zip(full[upper - 1], full[upper]):
                    content += bytes(pair)
            if len(full) % 2:
                content += bytes(full[-1])
        else:
            for row in full:
                content += bytes(row)
        if padding == VECTORS:
            for row in range(len(block)):
                content += bytes([row & 255] * 4)
            content += bytes(-len(content) % VECTORS)
    return content


class _Module:
    def __init__(self, matvec):
        self.MATVEC = matvec


def test_products_are_the_same_whatever_the_rows_and_the_block():
    for case in range(60):
        random.seed(case)
        padding = (1, PAIRS, VECTORS)[case % 3]
        columns, rows = 1 + below(40), 1 + below(300)
        block = 16 * (2 + below(30)) + 16 * (2 * (columns + 20) // 16 + 1)
        at_once = rows_in_block(columns, padding, block)
        assert at_once >= 2 and rows_bytes(at_once, columns, padding) <= block
        weights = [mixed(-127, 127, columns) for _ in range(rows)]
        content = stored_padded(weights, padding, at_once if padding == VECTORS else rows)
        assert len(content) + -len(content) % 4 == matrix_bytes(rows, columns, padding, block)
        first = 16 * (2 + below(200))
        partition = MemoryPartition(bytes(first) + content, 9000 + first + len(content))
        blocks = Blocks(partition, block, 2 + below(4), block * below(3))
        blocks.order(padding, [(first, rows, columns)])
        module = _Module({columns: ((0, columns, padded_kernel(columns, padding)),)})
        blocks.install(module)
        inputs, y = int32s(columns), int32s(rows)
        linear = Linear(30, rows, columns, inputs, module)
        x = mixed(-32767, 32767, columns)
        for i in range(columns):
            inputs[i] = x[i]
        place = bytearray(12)
        put_u32(place, 8, first - 30)
        for _ in range(2):
            linear.run(place, y)
            assert list(y) == [sum([w * v for w, v in zip(row, x)]) for row in weights], case
            blocks.read_ahead()
        assert max([size for _, size in partition.reads]) <= 2 * block


def test_a_chip_answers_as_one_whose_weights_are_in_its_heap():
    model = TinyModel(seed=1)
    for chip, block in ((0, 48), (1, 64), (1, 400), (0, 8192)):
        part = Part(model, chip, 2)
        asked = Asked(model, part, block)
        for position in range(3):
            assert_answers(model, part, asked, position)


def answers_all(model, part, asked, positions):
    """Asks for all phases of all layers at so many positions; how many blocks each token read."""
    reads = []
    for position in range(positions):
        asked.flash.reads = []
        assert_answers(model, part, asked, position)
        asked.role.on_idle()
        reads.append(len(asked.flash.reads))
    return reads


def test_matrices_that_stay_in_the_heap_are_not_read_again():
    for chip, chips, block in ((0, 2, 48), (1, 2, 96), (0, 1, 400)):
        model = TinyModel(seed=8)
        part = Part(model, chip, chips)
        size = len(file_of(model, part, block=block))
        reads = []
        for room in range(0, size + 1, size // 9):
            model = TinyModel(seed=8)  # with empty caches
            asked = Asked(model, part, block, resident=room)
            reads.append(answers_all(model, part, asked, 2)[-1])
        # What is left may be read in more pieces where what lay between is not, hence the one.
        assert all([more + 1 >= less for more, less in zip(reads, reads[1:])]), reads
        assert reads[0] > len(reads) // 2 and reads[-1] == 0


def test_matrices_of_the_vocabulary_and_of_attention_stay_first():
    model = TinyModel(seed=9)
    part = Part(model)
    q, kv = len(part.heads) * model.head_dim, len(part.kv_heads) * model.head_dim
    shapes = (q + 2 * kv, model.dim), (model.dim, q)
    room = sum([2 * matrix_bytes(rows, columns, 1, 64) for rows, columns in shapes])
    room += matrix_bytes(len(part.rows), model.dim, 1, 64)
    asked = Asked(model, part, 64, resident=room, rows_first=True)
    for phase, reads in ((VOCABULARY, False), (ATTENTION, False), (FEED_FORWARD, True)):
        asked.flash.reads = []
        for layer in (0, 1):
            asked.payload(compute(model.activations(), layer, phase, 0))
        assert bool(asked.flash.reads) == reads


def test_layers_are_spread_over_the_model():
    for layers in range(1, 80):
        order = spread(layers)
        assert sorted(order) == list(range(layers))
    first = sorted(spread(30)[:10])
    assert max([b - a for a, b in zip(first, first[1:])]) <= 5


def test_several_positions_and_what_is_missing_are_as_ever():
    model = TinyModel(seed=2)
    part = Part(model)
    asked = Asked(model, part, 64)
    inputs = model.activations(2)
    payload = asked.payload(compute(inputs, 0, ATTENTION, 0))
    expected = expected_sums(model, part, inputs, 0, ATTENTION, 0)
    assert unpacked(decode_partial(payload), 2 * model.dim) == expected
    ahead = compute(model.activations(), 0, ATTENTION, 5)
    assert raises(NeedKV, asked.payload, ahead).args == (0, 2)


def test_a_block_is_read_once_for_all_positions_of_a_request():
    for case in range(6):
        model = TinyModel(seed=20 + case, positions=3)
        part = Part(model, case % 2, 2)
        block, counted = 48 + 16 * below(20), []
        for count in (1, 2, 3):
            model = TinyModel(seed=20 + case, positions=3)  # with empty caches
            asked = Asked(model, part, block)
            asked.flash.reads = []
            first = 0
            for _ in range(2):
                for layer in (0, 1):
                    for phase in (ATTENTION, FEED_FORWARD):
                        inputs = model.activations(count)
                        payload = asked.payload(compute(inputs, layer, phase, first))
                        expected = expected_sums(model, part, inputs, layer, phase, first)
                        assert unpacked(decode_partial(payload), count * model.dim) == expected
                first += count
            counted.append(asked.flash.reads)
        assert counted[0] == counted[1] == counted[2] and len(counted[0]) > 8, case


def test_positions_that_are_computed_by_themselves_come_before_and_after_others():
    """Each position has its rotations, whatever others were computed with its buffers."""
    model = TinyModel(seed=11, positions=3)
    part = Part(model)
    asked = Asked(model, part, 64)
    first = 0
    for count in (1, 2, 1, 1, 3, 1):
        again = max(0, first - 1)  # as after a draft that was wrong
        for at in (again, first):
            inputs = model.activations(count)
            for layer in (0, 1):
                payload = asked.payload(compute(inputs, layer, ATTENTION, at))
                expected = expected_sums(model, part, inputs, layer, ATTENTION, at)
                assert unpacked(decode_partial(payload), count * model.dim) == expected
        first += count


def test_reading_reaches_no_further_than_the_shard():
    model = TinyModel(seed=4)
    part = Part(model)
    for block in (112, 1024, 8192):
        asked = Asked(model, part, block)
        asked.flash.content = content = asked.content  # nothing behind the shard
        for _ in range(2):
            for layer in (0, 1):
                for phase in (ATTENTION, FEED_FORWARD):
                    asked.payload(compute(model.activations(), layer, phase, 0))
                    asked.role.on_idle()
            asked.payload(compute(model.activations(), 1, VOCABULARY))
            asked.role.on_idle()
        assert all(place + size <= len(content) for place, size in asked.flash.reads)


def test_weights_in_flash_take_no_heap_but_for_multipliers():
    model = TinyModel(seed=5)
    for chip in range(3):
        for combine in (False, True):
            part = Part(model, chip, 3)
            weights = Asked(model, part, 64, combine).weights
            held = [weights.exp_table, weights.sigmoid_table, weights.rope_table]
            held += [weights.vocabulary, weights.final_gain if combine else b""]
            for layer in weights.layers:
                held += [layer.weights, layer.keys, layer.values, layer.norms or b""]
                q, kv = 4 * len(part.heads), 4 * len(part.kv_heads)
                assert len(layer.weights) == 2 * (q + 2 * kv + 2 * len(part.units)) + 4
            assert weights.bytes == sum([len(buffer) for buffer in held])
