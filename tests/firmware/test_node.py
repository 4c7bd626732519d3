"""A chip's message loop, in version 2: what it answers of requests, and what it refuses."""

from host.wire.payloads import decode_logits, decode_partial
from protocol import message_types
from protocol.frame import HOST
from protocol.message import FederationMessage
from protocol.messages import BAD_REQUEST, FAULT, NEED_KV
from tests.firmware.benches import COMPUTE, NONCE, bench_of, counted, counters, error_of
from tests.firmware.nodes import Bench
from tests.firmware.requests import (
    ATTENTION,
    FEED_FORWARD,
    VOCABULARY,
    compute,
    expected_sums,
    int16s,
    unpacked,
)


def test_compute_is_answered_with_partial_sums_and_logits():
    model, part, bench = bench_of()
    for phase in (ATTENTION, FEED_FORWARD):
        inputs = model.activations(2)
        message = bench.computed(inputs, 0, phase)
        assert message.kind == message_types.PARTIAL and message.version == 2
        sums = unpacked(decode_partial(message.payload), 2 * model.dim)
        assert sums == expected_sums(model, part, inputs, 0, phase)
    x = model.activations()
    message = bench.computed(x, 1, VOCABULARY)
    assert message.kind == message_types.LOGITS
    assert int16s(decode_logits(message.payload).data) == model.logits(x[0], part.rows)


def test_a_request_that_comes_again_is_answered_from_the_cache():
    model, _, bench = bench_of()
    payload = compute(model.activations())
    first = bench.answer(COMPUTE, payload)
    calls = counted(bench)
    for _ in range(3):
        assert bench.answer(COMPUTE, payload, first.sequence) == first
    assert calls == []
    assert counters(bench).answers_resent == 3


def test_another_request_of_the_same_number_is_computed():
    model, part, bench = bench_of()
    inputs = model.activations()
    first = bench.answer(COMPUTE, compute(inputs), 5)
    second = bench.answer(COMPUTE, compute(inputs, phase=FEED_FORWARD), 5)
    assert first.payload != second.payload
    sums = unpacked(decode_partial(second.payload), model.dim)
    assert sums == expected_sums(model, part, inputs, 0, FEED_FORWARD)
    assert counters(bench).answers_resent == 0


def test_a_missing_cache_names_layer_and_positions_held():
    model, _, bench = bench_of()
    for position in range(3):
        bench.computed(model.activations(), 1, ATTENTION, position)
    error = error_of(bench.computed(model.activations(), 1, ATTENTION, 5))
    assert error == (NEED_KV, 1, 3, "")
    bench.computed(model.activations(), 1, ATTENTION, 3)
    assert bench.computed(model.activations(), 1, ATTENTION, 4).kind == message_types.PARTIAL


def test_an_older_sequence_is_not_answered_and_a_newer_empties_the_cache():
    model, _, bench = bench_of()
    bench.computed(model.activations(2), sequence_id=5)
    x = model.activations()
    assert bench.answers(*bench.frames(COMPUTE, compute(x, 0, ATTENTION, 2, 4))) == []
    assert bench.computed(x, 0, ATTENTION, 2, 5).kind == message_types.PARTIAL
    assert error_of(bench.computed(x, 0, ATTENTION, 3, 6)) == (NEED_KV, 0, 0, "")


def test_bad_requests_say_what_is_wrong():
    model, _, bench = bench_of()
    x = model.activations()[0]
    for payload, layer, position, reason in (
        (compute([x], layer=2), 2, 0, "layer 2"),
        (compute([x, x], position=39), 0, 39, "position 40"),
        (compute([x] * 3), 0, 0, "3 positions"),
        (compute([x[:-1]]), 0, 0, "15 values"),
    ):
        error = error_of(bench.answer(COMPUTE, payload))
        assert (error.code, error.layer, error.position) == (BAD_REQUEST, layer, position)
        assert reason in error.text


def test_requests_cut_short_are_dropped_or_refused():
    model, _, bench = bench_of()
    whole = compute(model.activations())
    for length in range(7):
        assert bench.answers(*bench.frames(COMPUTE, whole[:length])) == []
    assert counters(bench).frames_dropped == 7
    for length in (7, 8, len(whole) - 1):
        assert error_of(bench.answer(COMPUTE, whole[:length])).code == BAD_REQUEST


def test_a_request_without_a_payload_in_version_1_is_dropped():
    _, _, bench = bench_of()
    assert bench.answers(FederationMessage(COMPUTE, HOST, 0, 1, b"", 1).encode()) == []
    assert counters(bench).frames_dropped == 1


def test_a_broken_kernel_is_a_fault_with_its_words():
    model, _, bench = bench_of()

    def broken(*_):
        raise ArithmeticError("no such thing")

    bench.role._attend = broken
    error = error_of(bench.computed(model.activations(), 1))
    assert error == (FAULT, 1, 0, "ArithmeticError: no such thing")
    assert bench.computed(model.activations(), 1, FEED_FORWARD).kind == message_types.PARTIAL


def test_a_failed_request_may_be_asked_again():
    model, part, bench = bench_of()
    role = bench.role
    attend, role._attend = role._attend, lambda *_: 1 // 0
    inputs = model.activations()
    payload = compute(inputs)
    assert error_of(bench.answer(COMPUTE, payload, 9)).code == FAULT
    role._attend = attend
    sums = unpacked(decode_partial(bench.answer(COMPUTE, payload, 9).payload), model.dim)
    assert sums == expected_sums(model, part, inputs)


def test_a_node_without_a_shard_says_why():
    bench = Bench(fault="ShardError: no shard")
    for kind, payload in ((message_types.DISCOVERY, NONCE), (COMPUTE, bytes(20))):
        assert error_of(bench.answer(kind, payload)) == (FAULT, 0, 0, "ShardError: no shard")
    assert counters(bench).frames_received == 3


def test_a_fault_of_the_loop_is_reported():
    _, _, bench = bench_of(chip_id=0)
    bench.node.report("RuntimeError: pystack exhausted")
    message = FederationMessage.decode(bench.link.sent[0])
    assert (message.kind, message.dst, message.sequence) == (message_types.ERROR, HOST, 0)
    assert error_of(message).text == "RuntimeError: pystack exhausted"
