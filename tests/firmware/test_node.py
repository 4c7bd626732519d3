"""A chip's message loop, in version 2: what it answers, what it refuses, what it counts."""

from firmware.node import RELEASE
from host.wire.payloads import decode_logits, decode_partial
from host.wire.reports import decode_error, decode_ready, decode_statistics
from protocol import message_types
from protocol.frame import BROADCAST, HOST
from protocol.message import FederationMessage
from protocol.messages import BAD_REQUEST, FAULT, NEED_KV, STATE_READY
from tests.firmware.nodes import BOOT_ID, Bench
from tests.firmware.requests import (
    ATTENTION,
    FEED_FORWARD,
    VOCABULARY,
    compute,
    expected_sums,
    int16s,
    unpacked,
)
from tests.firmware.shards import MODEL_HASH, Part
from tests.firmware.tiny import TinyModel

COMPUTE = message_types.COMPUTE
NONCE = bytes(range(16))


def bench_of(seed=1, **options):
    model = TinyModel(seed=seed)
    part = Part(model)
    return model, part, Bench(model, part, **options)


def discovered(bench, nonce=NONCE):
    return bench.answer(message_types.DISCOVERY, nonce)


def counters(bench):
    return decode_statistics(bench.answer(message_types.STATISTICS, b"\0").payload)


def error_of(message):
    assert message.kind == message_types.ERROR
    return decode_error(message.payload)


def counted(bench):
    """A list that grows with each computation of the node, by the answer's length."""
    calls = []
    role = bench.role
    answer = role.answer

    def counting(*arguments):
        size = answer(*arguments)
        if size >= 0:
            calls.append(size)
        return size

    role.answer = counting
    return calls


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
    for payload, layer, position, told in (
        (compute([x], layer=2), 2, 0, "layer 2"),
        (compute([x, x], position=39), 0, 39, "position 40"),
        (compute([x] * 3), 0, 0, "3 positions"),
        (compute([x[:-1]]), 0, 0, "15 values"),
    ):
        error = error_of(bench.answer(COMPUTE, payload))
        assert (error.code, error.layer, error.position) == (BAD_REQUEST, layer, position)
        assert told in error.text


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


def test_ready_tells_what_a_chip_holds():
    model = TinyModel(seed=1)
    part = Part(model, 1, 2)
    bench = Bench(model, part, chip_id=1)
    ready = decode_ready(discovered(bench).payload)
    assert (ready.boot_id, ready.state, ready.model_hash) == (BOOT_ID, STATE_READY, MODEL_HASH)
    assert ready.shard_digest == bench.weights.digest
    assert (ready.heads, ready.units, ready.rows) == (2, len(part.units), len(part.rows))
    assert (ready.context, ready.shard_bytes) == (model.context, bench.weights.bytes)
    assert ready.firmware == RELEASE
    assert ready.heap_used > 0 and ready.heap_free > 0


def test_discovery_within_a_session_keeps_the_cache():
    model, _, bench = bench_of()
    discovered(bench)
    payload = compute(model.activations(2))
    first = bench.answer(COMPUTE, payload)
    discovered(bench)
    calls = counted(bench)
    assert bench.answer(COMPUTE, payload, first.sequence) == first and calls == []
    assert bench.computed(model.activations(), 0, ATTENTION, 2).kind == message_types.PARTIAL


def test_discovery_of_another_host_drops_the_cache():
    model, _, bench = bench_of()
    discovered(bench)
    bench.computed(model.activations(2), sequence_id=9)
    discovered(bench, bytes(16))
    request = compute(model.activations(), 0, ATTENTION, 2, 9)
    assert error_of(bench.answer(COMPUTE, request)) == (NEED_KV, 0, 0, "")
    discovered(bench, NONCE)
    assert bench.computed(model.activations(), sequence_id=1).kind == message_types.PARTIAL


def test_discovery_of_another_host_drops_the_kept_answer():
    model, _, bench = bench_of()
    discovered(bench)
    payload = compute(model.activations())
    first = bench.answer(COMPUTE, payload)
    discovered(bench, bytes(16))
    calls = counted(bench)
    assert bench.answer(COMPUTE, payload, first.sequence) == first
    assert calls == [len(first.payload)]


def test_a_discovery_without_a_nonce_is_one_session():
    model, _, bench = bench_of()
    discovered(bench, b"")
    bench.computed(model.activations(2))
    discovered(bench, b"")
    assert bench.computed(model.activations(), 0, ATTENTION, 2).kind == message_types.PARTIAL


def test_frames_for_others_are_left_alone_and_broadcasts_taken():
    model, _, bench = bench_of()
    payload = compute(model.activations())
    assert bench.answers(*bench.frames(COMPUTE, payload, dst=1)) == []
    assert counters(bench).frames_received == 1
    (message,) = bench.answers(*bench.frames(COMPUTE, payload, dst=BROADCAST))
    assert (message.kind, message.src, message.dst) == (message_types.PARTIAL, 0, HOST)


def test_an_answer_goes_to_whoever_asked():
    model, _, bench = bench_of()
    frame = FederationMessage(COMPUTE, 7, 0, 3, compute(model.activations())).encode()
    (message,) = bench.answers(frame)
    assert (message.dst, message.sequence) == (7, 3)


def test_damaged_frames_are_counted_and_not_answered():
    model, _, bench = bench_of()
    (frame,) = bench.frames(COMPUTE, compute(model.activations()))
    for at in (0, 5, 20, len(frame) - 1):
        damaged = bytearray(frame)
        damaged[at] ^= 16
        assert bench.answers(damaged) == []
    assert bench.answers(frame[:-1], frame + b"\0", b"\2\x14\xfe\0") == []
    assert counters(bench).frames_dropped == 7


def test_types_that_a_chip_does_not_know_are_passed_over():
    _, _, bench = bench_of()
    for kind in (message_types.HEARTBEAT, message_types.ACTIVATION, message_types.READY, 0x7F):
        assert bench.answers(*bench.frames(kind, b"12345678")) == []
    assert counters(bench).frames_dropped == 0


def test_statistics_count_frames_and_bytes():
    model, _, bench = bench_of()
    before = counters(bench)
    assert (before.frames_sent, before.frames_received) == (0, 1)
    (frame,) = bench.frames(COMPUTE, compute(model.activations()))
    sent = len(bench.link.sent[0])
    bench.answers(frame)
    sent += len(bench.link.sent[0])
    bench.link.dropped = 4  # damaged on the serial line
    after = counters(bench)
    assert (after.frames_sent, after.frames_received) == (2, 3)
    assert after.bytes_sent == sent
    assert after.bytes_received == before.bytes_received + len(frame) + 13
    assert after.frames_dropped == 4
    assert after.heap_used > 0 and after.heap_free > 0


def test_nothing_received_is_told():
    _, _, bench = bench_of()
    assert not bench.node.poll()
    bench.link.inbox.append(b"noise")
    assert bench.node.poll()
    assert not bench.node.poll()


def test_the_host_alone_is_answered_what_anybody_may_ask():
    """Of two chips, each would take the other's answer for a request, and they would never end."""
    _, _, bench = bench_of()
    for kind in (message_types.STATISTICS, message_types.DISCOVERY):
        frames = [FederationMessage(kind, src, 0, 9, bytes(16)).encode() for src in (1, HOST)]
        assert [message.dst for message in bench.answers(*frames)] == [HOST]
