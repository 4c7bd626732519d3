"""The payloads on the hot path, as the host and as a chip encode and decode them."""

from array import array
from binascii import hexlify

from host.wire import payloads as p
from protocol import messages as l
from protocol.fields import u16
from protocol.frame import DST, HEADER_SIZE, SEQUENCE, SRC, ProtocolError
from protocol.messages import make_answer_buffer
from tests.dual import raises
from tests.protocol.noise import random_bytes


def test_layouts():
    for made, expected in (
        (p.encode_compute(0x1234, 5, 1, 0x678, 2, b"\1\2\3\4"), "3412 05 01 7806 02 01020304"),
        (
            p.encode_partial(0x1234, 5, 1, 0x678, 2, 0xBEEF, 24, b"\7\x08\x09"),
            "3412 05 01 7806 02 efbe 18 070809",
        ),
        (
            p.encode_logits(1, 0, 2, 3, 1, 0xBEEF, 410, 9, b"\1\0\xff\xff"),
            "0100 00 02 0300 01 efbe 9a01 09 0100ffff",
        ),
    ):
        assert hexlify(made).decode() == expected.replace(" ", "")


def test_round_trips():
    for data in (b"ab", bytearray(b"abcdef"), memoryview(b"abcd")):
        size = len(data) // 2
        compute = p.decode_compute(p.encode_compute(65535, 255, 2, 65535, size, data))
        runs = [(65535, 65535, size)]
        assert tuple(compute) == (65535, 255, 2, 65535, size, bytes(data), runs)
        partial = p.decode_partial(p.encode_partial(1, 2, 0, 3, 4, 5, 32, data))
        assert tuple(partial) == (1, 2, 0, 3, 4, 5, 32, bytes(data))
        logits = p.decode_logits(p.encode_logits(1, 2, 2, 3, 4, 5, 65535, 255, data))
        assert tuple(logits) == (1, 2, 2, 3, 4, 5, 65535, 255, bytes(data))


def test_numbers_that_do_not_fit_are_refused():
    good = (1, 2, 1, 3, 1)
    for i, value in ((0, 65536), (1, 256), (2, 3), (3, -1), (4, 0), (4, 256)):
        fields = list(good)
        fields[i] = value
        raises(ValueError, p.encode_compute, *(fields + [b"ab"]))
    raises(ValueError, p.encode_partial, *(good + (65536, 8, b"")))
    raises(ValueError, p.encode_partial, *(good + (1, 0, b"")))
    raises(ValueError, p.encode_partial, *(good + (1, 33, b"")))
    raises(ValueError, p.encode_logits, *(good + (1, 1, 256, b"")))
    fields = (1, 2, 1, 70000, 1)
    assert "position 70000" in str(raises(ValueError, p.encode_compute, *(fields + (b"ab",))))


def test_payloads_cut_short_are_refused():
    for decoder, payload, least in (
        (p.decode_compute, p.encode_compute(1, 2, 1, 3, 1, b"ab"), 9),
        (p.decode_partial, p.encode_partial(1, 2, 1, 3, 1, 4, 5, b"abc"), 10),
        (p.decode_logits, p.encode_logits(1, 2, 2, 3, 1, 4, 5, 6, b""), 12),
    ):
        for n in range(least):
            raises(ProtocolError, decoder, payload[:n])
        decoder(payload[:least])


def test_payloads_that_contradict_themselves_are_refused():
    good = p.encode_compute(1, 2, 1, 3, 2, b"abcdefgh")
    for payload in (
        good[:-1],  # half an int16
        good[:-2],  # three int16 for two positions
        good[:3] + b"\3" + good[4:],  # no such phase
        good[:6] + b"\0" + good[7:],  # no positions
    ):
        raises(ProtocolError, p.decode_compute, payload)
    partial = p.encode_partial(1, 2, 1, 3, 1, 4, 5, b"abc")
    raises(ProtocolError, p.decode_partial, partial[:9] + b"\0" + partial[10:])
    raises(ProtocolError, p.decode_partial, partial[:9] + b"\x21" + partial[10:])
    raises(ProtocolError, p.decode_logits, p.encode_logits(1, 2, 2, 3, 1, 4, 5, 6, b"abc"))


def test_a_chip_reads_a_request_as_the_decoder_does():
    fields = array("i", [0] * 6)
    answer = make_answer_buffer(9)
    for phase in range(3):
        payload = p.encode_compute(0xABCD, 200, phase, 0x8001, 3, random_bytes(66))
        frame = bytes(HEADER_SIZE) + payload
        assert l.begin_compute(frame, answer, len(payload), 9, fields) == 33
        assert tuple(fields) == tuple(p.decode_compute(payload))[:5] + (l.COMPUTE_DATA,)
        for length in (7, 8, len(payload) - 1):
            assert l.begin_compute(frame, answer, length, 9, fields) == -1
    for at, value in ((l.PHASE, 3), (l.COUNT, 0)):
        wrong = bytearray(frame)
        wrong[at] = value
        assert l.begin_compute(wrong, answer, len(payload), 9, fields) == -1


def test_a_chip_begins_an_answer_as_the_encoder_does():
    head = b"\2\x14\xfe\3\x34\x12\x0d\0"
    request = head + p.encode_compute(0xABCD, 200, 1, 0x8001, 3, bytes(6))
    answer, compute = make_answer_buffer(15), make_answer_buffer(15)
    l.begin_answer(request, answer, 0xBEEF)
    l.begin_compute(request, compute, 13, 0xBEEF, array("i", [0] * 6))
    assert compute == answer
    answer[l.PARTIAL_BITS] = 13
    answer[l.PARTIAL_DATA : l.PARTIAL_DATA + 5] = b"12345"
    partial = p.encode_partial(0xABCD, 200, 1, 0x8001, 3, 0xBEEF, 13, b"12345")
    assert bytes(answer[HEADER_SIZE : l.PARTIAL_DATA + 5]) == partial
    assert (answer[DST], u16(answer, SEQUENCE)) == (request[SRC], u16(request, SEQUENCE))
    l.begin_answer(request, answer, 0x1234)
    logits = p.encode_logits(0xABCD, 200, 1, 0x8001, 3, 0x1234, 0, 0, b"")
    assert bytes(answer[HEADER_SIZE : l.LOGITS_FIRST_ROW]) == logits[:9]
    assert (l.LOGITS_SHIFT, l.LOGITS_DATA) == (l.LOGITS_FIRST_ROW + 2, HEADER_SIZE + len(logits))
