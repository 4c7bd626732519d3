"""Weights that stay in flash: what is read of them, and that it changes no result."""

import random

from firmware.compute.blocks import Blocks
from firmware.compute.linear import Linear
from firmware.compute.several import Several
from firmware.compute.shard import ShardError
from firmware.outbox import NeedKV
from firmware.roles.host_reduce import HostReduce
from host.wire.payloads import decode_logits, decode_partial
from protocol.fields import int32s, put_u32
from protocol.flash_layout import matrix_bytes, rows_bytes, rows_in_block, spread
from protocol.frame import HEADER_SIZE
from protocol.messages import make_answer_buffer
from protocol.shard_layout import PAIRS, VECTORS
from tests.dual import raises
from tests.firmware.flash_chips import (
    FlashKernels,
    MemoryPartition,
    has_partitions,
    settings_of,
)
from tests.firmware.nodes import MemoryLink, outbox_of
from tests.firmware.requests import (
    ATTENTION,
    FEED_FORWARD,
    VOCABULARY,
    compute,
    expected_sums,
    int16s,
    opened_frame,
    unpacked,
)
from tests.firmware.samples import mixed
from tests.firmware.shards import Part, file_of
from tests.firmware.tiny import TinyModel
from tests.protocol.noise import below, flipped


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


class Asked:
    """A chip whose weights stay in flash, and the buffer that it answers into."""

    def __init__(
        self, model, part, block, combine=False, resident=0, buffers=(), rows_first=False
    ):
        self.content = file_of(model, part, combine=combine, block=block)
        self.flash = MemoryPartition(self.content, len(self.content) + 5000)
        module = has_partitions(self.flash)
        settings = settings_of(self.content, block)
        settings["buffers"] = buffers
        self.weights, self.blocks = module.load_blocks(settings, part.chip)
        weights = self.weights
        columns = {model.dim, len(part.units), len(part.heads) * model.head_dim} - {0}
        kernels = FlashKernels(model.head_dim, columns)
        module.keep_matrices(self.blocks, weights, kernels.MATVEC, resident, rows_first)
        self.blocks.install(kernels)
        weights.all = Several
        outbox = outbox_of(part.chip, MemoryLink(), weights)
        self.role = HostReduce(outbox, weights, kernels)
        self.role.on_idle = weights.on_idle(self.role.on_idle)
        self.frame = make_answer_buffer(weights.answer_size)
        self.flash.reads = []

    def payload(self, request):
        length = self.role.answer(opened_frame(request), len(request), self.frame)
        return bytes(self.frame[HEADER_SIZE : HEADER_SIZE + length])


def assert_answers(model, part, asked, position):
    """Asks for all phases of all layers at a position."""
    for layer in (0, 1):
        for phase in (ATTENTION, FEED_FORWARD):
            inputs = model.activations()
            payload = asked.payload(compute(inputs, layer, phase, position))
            expected = expected_sums(model, part, inputs, layer, phase, position)
            assert unpacked(decode_partial(payload), model.dim) == expected
            asked.role.on_idle()
    x = model.activations()[0]
    logits = decode_logits(asked.payload(compute([x], 1, VOCABULARY, position)))
    assert int16s(logits.data) == model.logits(x, part.rows)


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


def test_what_comes_next_is_read_before_it_is_asked_for():
    model = TinyModel(seed=3)
    part = Part(model)
    requests = [(layer, phase) for layer in (0, 1) for phase in (ATTENTION, FEED_FORWARD)]
    asked = Asked(model, part, 112)  # some rows of each matrix
    blocks = asked.blocks
    for position in range(2):
        for layer, phase in requests:
            asked.payload(compute(model.activations(), layer, phase, position))
            before, ahead = blocks.reads, blocks.ahead
            asked.role.on_idle()
            assert (blocks.reads, blocks.ahead) == (before, ahead + 1)
    places = [place for place, _ in asked.flash.reads]
    assert len(set(places)) > 20 and all(place >= 0 for place in places)


def test_an_idle_chip_reads_ahead_what_its_buffers_hold_and_nothing_twice():
    """However often it is idle; and where the vocabulary is not asked for, it goes on."""
    for case in range(8):
        model = TinyModel(seed=40 + case)
        part = Part(model, case % 2, 2)
        buffers = (2 + below(6), 96 + 32 * below(8))
        room = (0, 900)[case % 2]
        asked = Asked(model, part, 96, resident=room, buffers=buffers)
        flash, blocks = asked.flash, asked.blocks
        read = sum([end - begin for begin, end in zip(blocks._order.begins, blocks._order.ends)])
        for position in range(4):
            flash.reads = []
            for layer in (0, 1):
                for phase in (ATTENTION, FEED_FORWARD):
                    inputs = model.activations()
                    payload = asked.payload(compute(inputs, layer, phase, position))
                    expected = expected_sums(model, part, inputs, layer, phase, position)
                    assert unpacked(decode_partial(payload), model.dim) == expected
                    for _ in range(below(2 * buffers[0])):
                        asked.role.on_idle()
            if position % 2:
                # What lay ahead of the vocabulary is read once more for the next token at most.
                assert sum([size for _, size in flash.reads]) <= read + blocks_bytes(blocks)
                continue
            x = model.activations()[0]
            logits = decode_logits(asked.payload(compute([x], 1, VOCABULARY, position)))
            assert int16s(logits.data) == model.logits(x, part.rows)
        # With all of its time it has all chunks that its buffers hold, but the one in use.
        for _ in range(20 * buffers[0]):
            asked.role.on_idle()
        flash.reads = []
        asked.role.on_idle()
        assert flash.reads == [] and blocks._whole == buffers[0] - 1


def blocks_bytes(blocks):
    return sum([len(buffer) for buffer in blocks.buffers])


def test_in_order_each_byte_is_read_once_for_a_token():
    model = TinyModel(seed=50)
    part = Part(model)
    asked = Asked(model, part, 96, buffers=(6, 300))
    begins, ends = asked.blocks._order.begins, asked.blocks._order.ends
    for position in range(3):
        assert_answers(model, part, asked, position)
    matrix, expected = 0, begins[0]
    for place, size in asked.flash.reads:
        assert place == expected and size > 0
        expected += size
        if expected == ends[matrix]:
            matrix = (matrix + 1) % len(ends)
            expected = begins[matrix]


def test_a_chunk_is_read_in_pieces_while_a_chip_is_idle():
    random.seed(7)
    content = bytes([below(256) for _ in range(1 << 16)])
    partition = MemoryPartition(content)
    blocks = Blocks(partition, 1 << 14, 3, 1 << 15)
    blocks.order(1, [(64, 900, 64), (60_000, 80, 64)])
    blocks.take(64)
    reads = partition.reads
    assert reads == [(64, 1 << 15)] and blocks.buffers[0] != blocks.buffers[1]
    del reads[:]
    blocks.read_ahead()
    assert reads == [(64 + (1 << 15), 8192)] and blocks.ahead == 0
    blocks.take(64 + (1 << 15))  # what is missing of it
    rest = 900 * 64 - (1 << 15)
    assert sum([size for _, size in reads]) == rest
    at = 64 + (1 << 15)
    assert bytes(blocks.buffers[blocks.current][:rest]) == content[at : at + rest]
    for _ in range(9):
        blocks.read_ahead()
    assert blocks._whole == 2


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


def refusal(content, settings=None):
    """What chip 0 says of a partition with these bytes."""
    module = has_partitions(MemoryPartition(content))
    settings = settings or settings_of(content)
    return str(raises(ShardError, module.load_blocks, settings, 0))


def test_a_damaged_partition_is_refused():
    model = TinyModel(seed=6)
    content = file_of(model, Part(model), block=64)
    settings = settings_of(content)
    for _ in range(20):
        message = refusal(flipped(content, below(8 * len(content))), settings)
        assert "the partition weights" in message and "flash" in message


def test_a_partition_that_is_written_in_part_is_refused():
    model, before = TinyModel(seed=6), TinyModel(seed=7)
    content = file_of(model, Part(model), block=64)
    old = file_of(before, Part(before), block=64)
    settings = settings_of(content)
    for written in (0, 1, 100, 4096, len(content) // 2, len(content) - 1):
        # Flashing writes from the beginning, and what it has not come to is erased, or as before.
        for rest in (b"\xff" * len(content), old + bytes(len(content))):
            message = refusal(content[:written] + rest[written : len(content)], settings)
            assert "interrupted" in message and "flash this chip again" in message


def test_another_shard_in_the_partition_is_refused():
    model, other = TinyModel(seed=6), TinyModel(seed=6)
    other.logit_exponent += 1  # which takes as many bytes
    content, before = [file_of(each, Part(each), block=64) for each in (model, other)]
    assert len(content) == len(before)
    assert "another plan" in refusal(before, settings_of(content))
    of_other_chip = file_of(model, Part(model, 1, 2), block=64)
    message = refusal(of_other_chip)
    assert "chip 1's, this is chip 0" in message


def test_a_partition_that_is_not_there_or_too_small_is_told():
    model = TinyModel(seed=6)
    content = file_of(model, Part(model), block=64)
    settings = settings_of(content)
    assert "the partition weights: it has 4096 bytes" in refusal(content[:4096], settings)
    settings["label"] = "nowhere"
    assert "there is no such partition" in refusal(content, settings)
