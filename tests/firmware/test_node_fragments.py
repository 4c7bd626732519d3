"""Messages that are longer than a radio's frames, in and out, and those that just fit."""

from firmware.node import Node, Role
from host.wire.payloads import decode_logits, decode_partial
from host.wire.reports import decode_statistics
from protocol import message_types
from protocol.bitpack import packed_size
from protocol.frame import HEADER_SIZE, TYPE
from protocol.message_types import PARTIAL
from protocol.messages import begin_answer
from tests.firmware.nodes import BOOT_ID, Bench, outbox_of
from tests.firmware.requests import (
    VOCABULARY,
    compute,
    expected_sums,
    int16s,
    unpacked,
)
from tests.firmware.shards import Part
from tests.firmware.tiny import TinyModel
from tests.protocol.noise import shuffled

MTU = 250


def radio_bench():
    """dim 64, as stories260K's, and more rows than a frame has room for."""
    model = TinyModel(seed=1, dim=64, head_dim=8, heads=2, kv_heads=1, units=5, rows=140, layers=1)
    part = Part(model)
    return model, part, Bench(model, part, mtu=MTU)


def test_two_positions_come_and_go_in_fragments():
    model, part, bench = radio_bench()
    inputs = model.activations(2)
    frames = bench.frames(message_types.COMPUTE, compute(inputs))
    assert len(frames) == 2
    (message,) = bench.answers(*frames)
    assert len(bench.link.sent) == 2
    partial = decode_partial(message.payload)
    assert unpacked(partial, 128) == expected_sums(model, part, inputs)


def test_logits_go_in_fragments():
    model, part, bench = radio_bench()
    x = model.activations()
    message = bench.computed(x, 0, VOCABULARY)
    assert len(bench.link.sent) == 2
    assert int16s(decode_logits(message.payload).data) == model.logits(x[0], part.rows)


def test_fragments_in_any_order_and_more_than_once():
    model, part, bench = radio_bench()
    for position in range(0, 8, 2):
        inputs = model.activations(2)
        frames = bench.frames(message_types.COMPUTE, compute(inputs, position=position))
        (message,) = bench.answers(*([frames[0]] + shuffled(frames)))[:1]
        sums = unpacked(decode_partial(message.payload), 128)
        assert sums == expected_sums(model, part, inputs, position=position)


def test_a_lost_fragment_is_filled_in_by_sending_again():
    model, _, bench = radio_bench()
    frames = bench.frames(message_types.COMPUTE, compute(model.activations(2)))
    assert bench.answers(frames[1]) == []
    (message,) = bench.answers(*frames)
    assert message.kind == PARTIAL


def test_a_resend_in_fragments_is_the_same_message():
    model, _, bench = radio_bench()
    frames = bench.frames(message_types.COMPUTE, compute(model.activations(2)))
    (first,) = bench.answers(*frames)
    (second,) = bench.answers(*frames)
    assert first == second
    statistics = bench.answer(message_types.STATISTICS, b"\1").payload
    assert decode_statistics(statistics).answers_resent == 1


def test_fragments_to_a_node_on_a_link_without_them_are_passed_over():
    model, part, radio = radio_bench()
    frames = radio.frames(message_types.COMPUTE, compute(model.activations(2)))
    assert Bench(model, part).answers(*frames) == []


class FixedAnswers(Role):
    """Answers with a payload of so many bytes."""

    def __init__(self, outbox, size):
        self.size, self.outbox = size, outbox
        self.handlers = {message_types.COMPUTE: self._on_compute}

    def _on_compute(self, frame, length):
        self.outbox.send_answer(self.answer(frame, length, self.outbox.answer))

    def answer(self, request, length, answer):
        begin_answer(request, answer, BOOT_ID)
        answer[TYPE] = PARTIAL
        for i in range(9, self.size):
            answer[HEADER_SIZE + i] = i & 255
        return self.size


def test_answers_of_every_length_around_the_mtu():
    model, part, bench = radio_bench()
    for size in range(MTU - 30, MTU + 5):
        outbox = outbox_of(0, bench.link, bench.weights)
        bench.node = Node(outbox, FixedAnswers(outbox, size), bench.weights.request_size)
        message = bench.computed(model.activations())
        assert len(message.payload) == size
        assert message.payload[9:] == bytes(i & 255 for i in range(9, size))
        assert len(bench.link.sent) == (1 if size + 12 <= MTU else 2), size


def test_the_longest_answers_fit_their_buffer():
    for dim, rows in ((64, 5), (16, 300)):
        model = TinyModel(seed=1, dim=dim, rows=rows, layers=1)
        bench = Bench(model, Part(model))
        sums = decode_partial(bench.computed(model.activations(2)).payload)
        logits = bench.computed(model.activations(), 0, VOCABULARY).payload
        widest = 10 + packed_size(2 * dim, sums.bits + 2)
        assert bench.weights.answer_size >= max(widest, len(logits))
        assert len(logits) == 12 + 2 * rows


def test_a_small_shard_needs_no_fragments():
    model = TinyModel(seed=2)
    bench = Bench(model, Part(model), mtu=MTU)
    assert bench.outbox.fragment is None and message_types.FRAGMENT not in bench.role.handlers
