"""The payloads on the hot path and those of ruvllm-esp32."""

from array import array
from binascii import hexlify

from host.wire import payloads as p
from protocol import messages as l
from protocol.fields import u16
from protocol.frame import DST, HEADER_SIZE, SEQUENCE, SRC, ProtocolError
from protocol.messages import answer_buffer
from tests.dual import raises
from tests.protocol.noise import random_bytes


def test_layouts():
    for made, expected in (
        (p.compute_payload(0x1234, 5, 1, 0x678, 2, b"\1\2\3\4"), "3412 05 01 7806 02 01020304"),
        (
            p.partial_payload(0x1234, 5, 1, 0x678, 2, 0xBEEF, 24, b"\7\x08\x09"),
            "3412 05 01 7806 02 efbe 18 070809",
        ),
        (
            p.logits_payload(1, 0, 2, 3, 1, 0xBEEF, 410, 9, b"\1\0\xff\xff"),
            "0100 00 02 0300 01 efbe 9a01 09 0100ffff",
        ),
        (p.activation_payload(3, 456, b"\xff\x7f"), "03 c801 ff7f"),
        (p.token_payload(12345), "3930"),
        (p.barrier_payload(7), "0700"),
        (p.draft_tokens_payload([1, 12345]), "02 0100 3930"),
        (p.draft_tokens_payload([]), "00"),
    ):
        assert hexlify(made).decode() == expected.replace(" ", "")


def test_round_trips():
    for data in (b"ab", bytearray(b"abcdef"), memoryview(b"abcd")):
        size = len(data) // 2
        compute = p.compute_from(p.compute_payload(65535, 255, 2, 65535, size, data))
        assert tuple(compute) == (65535, 255, 2, 65535, size, bytes(data))
        partial = p.partial_from(p.partial_payload(1, 2, 0, 3, 4, 5, 32, data))
        assert tuple(partial) == (1, 2, 0, 3, 4, 5, 32, bytes(data))
        logits = p.logits_from(p.logits_payload(1, 2, 2, 3, 4, 5, 65535, 255, data))
        assert tuple(logits) == (1, 2, 2, 3, 4, 5, 65535, 255, bytes(data))
        assert tuple(p.activation_from(p.activation_payload(1, 2, data))) == (1, 2, bytes(data))
    for number in (0, 1, 65535):
        assert p.token_from(p.token_payload(number)) == number
        assert p.barrier_from(p.barrier_payload(number)) == number
    for count in (0, 1, 255):
        tokens = list(range(65535, 65535 - count, -1))
        assert p.draft_tokens_from(p.draft_tokens_payload(tokens)) == tokens


def test_numbers_that_do_not_fit_are_refused():
    raises(ValueError, p.token_payload, 65536)
    raises(ValueError, p.token_payload, -1)
    raises(ValueError, p.draft_tokens_payload, [0] * 256)
    raises(ValueError, p.draft_tokens_payload, [65536])
    good = (1, 2, 1, 3, 1)
    for i, value in ((0, 65536), (1, 256), (2, 3), (3, -1), (4, 0), (4, 256)):
        fields = list(good)
        fields[i] = value
        raises(ValueError, p.compute_payload, *(fields + [b"ab"]))
    raises(ValueError, p.partial_payload, *(good + (65536, 8, b"")))
    raises(ValueError, p.partial_payload, *(good + (1, 0, b"")))
    raises(ValueError, p.partial_payload, *(good + (1, 33, b"")))
    raises(ValueError, p.logits_payload, *(good + (1, 1, 256, b"")))
    assert "position 70000" in str(raises(ValueError, p.activation_payload, 1, 70000, b""))


def test_payloads_cut_short_are_refused():
    for decoder, payload, least in (
        (p.compute_from, p.compute_payload(1, 2, 1, 3, 1, b"ab"), 9),
        (p.partial_from, p.partial_payload(1, 2, 1, 3, 1, 4, 5, b"abc"), 10),
        (p.logits_from, p.logits_payload(1, 2, 2, 3, 1, 4, 5, 6, b""), 12),
        (p.activation_from, p.activation_payload(1, 2, b""), 3),
        (p.token_from, p.token_payload(1), 2),
        (p.barrier_from, p.barrier_payload(1), 2),
        (p.draft_tokens_from, p.draft_tokens_payload([1, 2]), 5),
    ):
        for n in range(least):
            raises(ProtocolError, decoder, payload[:n])
        decoder(payload[:least])


def test_payloads_that_contradict_themselves_are_refused():
    good = p.compute_payload(1, 2, 1, 3, 2, b"abcdefgh")
    for payload in (
        good[:-1],  # half an int16
        good[:-2],  # three int16 for two positions
        good[:3] + b"\3" + good[4:],  # no such phase
        good[:6] + b"\0" + good[7:],  # no positions
    ):
        raises(ProtocolError, p.compute_from, payload)
    partial = p.partial_payload(1, 2, 1, 3, 1, 4, 5, b"abc")
    raises(ProtocolError, p.partial_from, partial[:9] + b"\0" + partial[10:])
    raises(ProtocolError, p.partial_from, partial[:9] + b"\x21" + partial[10:])
    raises(ProtocolError, p.logits_from, p.logits_payload(1, 2, 2, 3, 1, 4, 5, 6, b"abc"))
    raises(ProtocolError, p.draft_tokens_from, b"\2\0\0")
    raises(ProtocolError, p.draft_tokens_from, b"\1\0\0\0")
    raises(ProtocolError, p.token_from, b"abc")


def test_a_chip_reads_a_request_as_the_decoder_does():
    fields = array("i", [0] * 5)
    answer = answer_buffer(9)
    for phase in range(3):
        payload = p.compute_payload(0xABCD, 200, phase, 0x8001, 3, random_bytes(66))
        frame = bytes(HEADER_SIZE) + payload
        assert l.begun_compute(frame, answer, len(payload), 9, fields) == 33
        assert tuple(fields) == tuple(p.compute_from(payload))[:5]
        for length in (7, 8, len(payload) - 1):
            assert l.begun_compute(frame, answer, length, 9, fields) == -1
    for at, value in ((l.PHASE, 3), (l.COUNT, 0)):
        wrong = bytearray(frame)
        wrong[at] = value
        assert l.begun_compute(wrong, answer, len(payload), 9, fields) == -1


def test_a_chip_begins_an_answer_as_the_encoder_does():
    head = b"\2\x14\xfe\3\x34\x12\x0d\0"
    request = head + p.compute_payload(0xABCD, 200, 1, 0x8001, 3, bytes(6))
    answer, compute = answer_buffer(15), answer_buffer(15)
    l.begin_answer(request, answer, 0xBEEF)
    l.begun_compute(request, compute, 13, 0xBEEF, array("i", [0] * 5))
    assert compute == answer
    answer[l.PARTIAL_BITS] = 13
    answer[l.PARTIAL_DATA : l.PARTIAL_DATA + 5] = b"12345"
    partial = p.partial_payload(0xABCD, 200, 1, 0x8001, 3, 0xBEEF, 13, b"12345")
    assert bytes(answer[HEADER_SIZE : l.PARTIAL_DATA + 5]) == partial
    assert (answer[DST], u16(answer, SEQUENCE)) == (request[SRC], u16(request, SEQUENCE))
    l.begin_answer(request, answer, 0x1234)
    logits = p.logits_payload(0xABCD, 200, 1, 0x8001, 3, 0x1234, 0, 0, b"")
    assert bytes(answer[HEADER_SIZE : l.LOGITS_FIRST_ROW]) == logits[:9]
    assert (l.LOGITS_SHIFT, l.LOGITS_DATA) == (l.LOGITS_FIRST_ROW + 2, HEADER_SIZE + len(logits))
