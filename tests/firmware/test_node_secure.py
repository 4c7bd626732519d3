"""A node with a cluster key: it joins, answers in version 3, and takes nothing else."""

from firmware import node as node_module
from host.wire.payloads import decode_partial
from host.wire.reports import decode_error, decode_ready, decode_statistics
from host.wire.session import HostAuthenticator
from protocol import message_types
from protocol.message import FederationMessage
from protocol.messages import FAULT, NEED_KV, STATE_ASKS_PROOF, STATE_READY
from protocol.session import ChipAuthenticator
from tests.firmware.nodes import Bench
from tests.firmware.requests import ATTENTION, compute, expected_sums, unpacked
from tests.firmware.shards import Part
from tests.firmware.tiny import TinyModel

KEY = b"the key of the whole cluster"
COMPUTE = message_types.COMPUTE


class Heap:
    """MicroPython's gc module, which notes what is asked of it."""

    def __init__(self, collected):
        self.collected = collected

    def collect(self):
        self.collected.append(True)

    def mem_alloc(self):
        return 1

    def mem_free(self):
        return 1


def secure_bench(model=None, **options):
    """A node that has not joined yet, and its host."""
    part = Part(model) if model else None
    bench = Bench(model, part, signer=ChipAuthenticator(KEY, 0), **options)
    bench.host_signer = HostAuthenticator(KEY)
    return bench


def joined(bench):
    """Runs the handshake; the READY at its end, or what came in its place."""
    announcement = bench.host_signer.announcement()
    ready = decode_ready(bench.answer(message_types.DISCOVERY, announcement).payload)
    assert ready.state == STATE_ASKS_PROOF
    return bench.answer(message_types.DISCOVERY, bench.host_signer.proof(0, ready.nonce))


def test_a_chip_joins_and_computes():
    model = TinyModel(seed=1)
    bench = secure_bench(model)
    ready = decode_ready(joined(bench).payload)
    assert ready.state == STATE_READY
    inputs = model.activations(2)
    message = bench.computed(inputs)
    assert message.version == 3
    sums = unpacked(decode_partial(message.payload), 2 * model.dim)
    assert sums == expected_sums(model, Part(model), inputs)


def test_a_chip_without_a_session_computes_nothing():
    model = TinyModel(seed=1)
    bench = secure_bench(model)
    assert bench.answers(*bench.frames(COMPUTE, compute(model.activations()))) == []
    bench.answer(message_types.DISCOVERY, bench.host_signer.announcement())
    assert bench.answers(*bench.frames(COMPUTE, compute(model.activations()))) == []


def test_only_what_begins_a_session_tells_where_the_host_is_and_costs_a_collection():
    model = TinyModel(seed=1)
    bench = secure_bench(model)
    kept, collected = [], []
    bench.role.keep_sender = lambda: kept.append(bench.host_signer)
    old = bench.host_signer
    joined(bench)
    recorded = bench.frames(message_types.DISCOVERY, old.announcement())
    new = bench.host_signer = HostAuthenticator(KEY)
    joined(bench)
    assert kept == [old, new]
    node_gc = node_module.gc
    node_module.gc = Heap(collected)
    try:
        for frame in recorded + bench.frames(message_types.DISCOVERY, new.announcement()):
            bench.link.inbox.append(frame)
            bench.link.sent = []
            bench.node.poll()
            assert len(bench.link.sent) == 1  # it is answered
    finally:
        node_module.gc = node_gc
    assert kept == [old, new] and collected == []


def test_versions_1_and_2_are_refused():
    model = TinyModel(seed=1)
    bench = secure_bench(model)
    joined(bench)
    for version in (1, 2):
        for kind, payload in (
            (COMPUTE, compute(model.activations())),
            (message_types.DISCOVERY, bench.host_signer.announcement()),
            (message_types.STATISTICS, b""),
        ):
            frame = FederationMessage(kind, 254, 0, 1, payload, version).encode()
            assert bench.answers(frame) == []
    statistics = decode_statistics(bench.answer(message_types.STATISTICS, b"").payload)
    assert statistics.frames_dropped == 6


def test_a_wrong_proof_is_refused():
    bench = secure_bench(TinyModel(seed=1))
    nonce = bench.host_signer.announcement()
    ready = decode_ready(bench.answer(message_types.DISCOVERY, nonce + bytes(16)).payload)
    assert ready.state == STATE_ASKS_PROOF
    assert decode_ready(joined(bench).payload).state == STATE_READY


def test_a_replayed_request_is_dropped_and_a_resend_signed_anew():
    model = TinyModel(seed=1)
    bench = secure_bench(model)
    joined(bench)
    payload = compute(model.activations())
    frames = bench.frames(COMPUTE, payload)
    (first,) = bench.answers(*frames)
    sent = bench.link.sent[0]
    assert bench.answers(*frames) == []
    assert bench.answer(COMPUTE, payload, first.sequence) == first
    assert bench.link.sent[0] != sent


def test_messages_in_fragments_are_signed_each():
    model = TinyModel(seed=1, dim=64, head_dim=8, heads=2, kv_heads=1, units=5, layers=1)
    bench = secure_bench(model, mtu=250)
    joined(bench)
    inputs = model.activations(2)
    frames = bench.frames(COMPUTE, compute(inputs))
    assert len(frames) == 2
    (message,) = bench.answers(*frames)
    assert len(bench.link.sent) == 2
    sums = unpacked(decode_partial(message.payload), 128)
    assert sums == expected_sums(model, Part(model), inputs)


def test_another_handshake_keeps_the_cache_and_a_new_session_drops_it():
    model = TinyModel(seed=1)
    bench = secure_bench(model)
    joined(bench)
    bench.computed(model.activations(2), sequence_id=3)
    again = bench.answer(message_types.DISCOVERY, bench.host_signer.announcement())
    assert decode_ready(again.payload).state == STATE_READY
    answer = bench.computed(model.activations(), 0, ATTENTION, 2, 3)
    assert answer.kind == message_types.PARTIAL
    bench.host_signer.renew()
    joined(bench)
    error = decode_error(bench.computed(model.activations(), 0, ATTENTION, 3, 3).payload)
    assert error == (NEED_KV, 0, 0, "")


def test_a_chip_that_failed_to_start_joins_to_say_why():
    bench = secure_bench(fault="ShardError: flash this chip")
    message = joined(bench)
    assert message.kind == message_types.ERROR
    assert decode_error(message.payload) == (FAULT, 0, 0, "ShardError: flash this chip")


def test_a_fault_without_a_session_is_kept_to_itself():
    bench = secure_bench(TinyModel(seed=1))
    bench.node.report("RuntimeError")
    assert bench.link.sent == []
    joined(bench)
    bench.link.sent = []
    bench.node.report("RuntimeError")
    assert len(bench.link.sent) == 1
