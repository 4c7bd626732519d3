"""What a chip whose weights stay in flash reads while it waits: each byte once for a token."""

import random

from firmware.compute.blocks import Blocks
from host.wire.payloads import decode_logits, decode_partial
from tests.firmware.flash_chips import MemoryPartition
from tests.firmware.flash_roles import Asked, assert_answers
from tests.firmware.requests import (
    ATTENTION,
    FEED_FORWARD,
    VOCABULARY,
    compute,
    expected_sums,
    int16s,
    unpacked,
)
from tests.firmware.shards import Part
from tests.firmware.tiny import TinyModel
from tests.protocol.noise import below


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
