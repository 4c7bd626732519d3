"""A chip's message loop: discovery and sessions, foreign frames, what it counts."""

from firmware.node import RELEASE
from host.wire.reports import decode_ready
from protocol import message_types
from protocol.frame import BROADCAST, HOST
from protocol.message import FederationMessage
from protocol.messages import NEED_KV, STATE_READY
from tests.firmware.benches import COMPUTE, NONCE, bench_of, counted, counters, error_of
from tests.firmware.nodes import BOOT_ID, Bench
from tests.firmware.requests import (
    ATTENTION,
    compute,
)
from tests.firmware.shards import MODEL_HASH, Part
from tests.firmware.tiny import TinyModel


def discovered(bench, nonce=NONCE):
    return bench.answer(message_types.DISCOVERY, nonce)


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


def test_a_session_may_shorten_frames_and_another_one_lengthens_them_again():
    model = TinyModel(seed=1)
    bench = Bench(model, Part(model), mtu=1470)
    limits = []
    bench.node.role.limit = limits.append
    assert decode_ready(discovered(bench).payload).mtu == 1470
    outbox = bench.node.outbox
    for allowed, mtu in ((400, 400), (900, 400), (0, 250), (1470, 250)):
        ready = decode_ready(discovered(bench, NONCE + allowed.to_bytes(2, "little")).payload)
        assert ready.mtu == 1470 and outbox.max_payload == mtu - 12
    discovered(bench, bytes(16))
    assert outbox.max_payload == 1458 and limits == [388, 238, 1458]
