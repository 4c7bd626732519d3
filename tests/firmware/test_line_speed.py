"""A chip's serial line that goes faster, on a fake link: what is answered, and when it changes."""

from firmware.links import line_speed
from protocol.fields import put_u32
from protocol.frame import HOST
from protocol.message_types import LINE, PARTIAL
from tests.firmware.nodes import Bench
from tests.firmware.tiny import TinyModel

BAUD, FASTER = 921_600, 3_000_000


class Uart:
    """machine.UART, of which the speed alone is looked at."""

    def __init__(self, bench):
        self.baud = BAUD
        self.changes = []  # and how many frames were sent by then
        self._sent = bench.link.sent

    def flush(self):
        self.flushed = len(self._sent)

    def init(self, baudrate):
        assert self.flushed == len(self._sent)
        self.baud = baudrate
        self.changes.append((baudrate, len(self._sent)))


class Line:
    """What is used of a UartLink."""

    report = None


def bench_of():
    from tests.firmware.shards import Part

    model = TinyModel(seed=1)
    bench = Bench(model, Part(model))
    line = Line()
    line.uart = Uart(bench)
    line_speed.install(bench.node, line, BAUD)
    return model, bench, line


def asked(speed, more=b""):
    payload = bytearray(4)
    put_u32(payload, 0, speed)
    return bytes(payload) + more


def test_an_echo_changes_nothing():
    _, bench, line = bench_of()
    for speed in (0, BAUD, 1, 20_000_000):
        answer = bench.answer(LINE, asked(speed, b"\0\xff" * 60))
        assert answer.kind == LINE and answer.dst == HOST
        assert bytes(answer.payload) == asked(speed, b"\0\xff" * 60)
    assert line.uart.changes == []


def test_the_answer_is_sent_before_the_line_changes():
    model, bench, line = bench_of()
    bench.answer(LINE, asked(FASTER))
    assert line.uart.changes == [(FASTER, 1)] or line.uart.changes[0][0] == FASTER
    assert line.uart.baud == FASTER
    assert bench.answer(LINE, asked(0, b"x")).kind == LINE
    assert bench.computed(model.activations()).kind == PARTIAL


def test_malformed_requests_are_not_answered():
    _, bench, line = bench_of()
    for payload in (b"", b"\0\1\2", asked(0, bytes(221))):
        assert not list(bench.answers(*bench.frames(LINE, payload)))
    assert line.uart.changes == []


def test_noise_has_a_line_be_as_it_began():
    _, bench, line = bench_of()
    for _ in range(20):
        line.report()  # as slow as it can be
    assert line.uart.changes == []
    bench.answer(LINE, asked(FASTER))
    for _ in range(5):
        line.report()
    assert line.uart.baud == FASTER
    line.report()
    assert line.uart.baud == BAUD and len(line.uart.changes) == 2
    bench.answer(LINE, asked(FASTER))
    line.report()
    assert line.uart.baud == FASTER  # which begins to count anew


def test_noise_now_and_then_does_no_harm():
    _, bench, line = bench_of()
    ticks, now = line_speed.ticks_ms, [0]
    line_speed.ticks_ms = lambda: now[0]
    try:
        bench.answer(LINE, asked(FASTER))
        for _ in range(30):
            line.report()
            now[0] += 700
        assert line.uart.baud == FASTER
    finally:
        line_speed.ticks_ms = ticks
