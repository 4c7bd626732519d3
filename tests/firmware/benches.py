"""Requests to a node on a fake link, and what it counts."""

from host.wire.reports import decode_error, decode_statistics
from protocol import message_types
from tests.firmware.nodes import Bench
from tests.firmware.shards import Part
from tests.firmware.tiny import TinyModel

COMPUTE = message_types.COMPUTE
NONCE = bytes(range(16))


def bench_of(seed=1, **options):
    model = TinyModel(seed=seed)
    part = Part(model)
    return model, part, Bench(model, part, **options)


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
