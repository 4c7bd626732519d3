"""Requests and answers find each other."""

from array import array

from host.wire.payloads import encode_compute, encode_partial
from host.wire.requests import Outstanding
from protocol import message_types
from protocol.frame import HEADER_SIZE, HOST, LENGTH, VERSION, append_trailer, seal, write_header
from protocol.messages import begin_compute, is_answered, make_answer_buffer
from tests.protocol.noise import below, shuffled


def test_each_chip_is_accepted_once():
    asked = Outstanding()
    number = asked.begin(range(5))
    for i, chip in enumerate(shuffled(range(5))):
        assert asked.awaited == 5 - i
        assert chip in asked.missing()
        assert asked.accept(chip, number)
        assert not asked.accept(chip, number)
    assert asked.awaited == 0 and asked.missing() == []
    assert (asked.late, asked.duplicate, asked.foreign) == (0, 5, 0)


def test_what_does_not_belong_is_counted():
    asked = Outstanding()
    first = asked.begin([1, 2, 3])
    assert asked.accept(1, first)
    second = asked.begin([2, 3])
    assert not asked.accept(2, first)
    assert (asked.late, asked.duplicate, asked.foreign) == (1, 0, 0)
    assert not asked.accept(1, second)
    assert not asked.accept(200, second)
    assert not asked.accept(2, second + 1)
    assert (asked.late, asked.duplicate, asked.foreign) == (1, 0, 3)
    assert asked.missing() == [2, 3]
    assert asked.accept(3, second)
    assert asked.missing() == [2]


def test_every_id_may_be_asked_and_none_twice():
    asked = Outstanding()
    number = asked.begin([0, 253, HOST, 253])
    assert asked.awaited == 3
    assert asked.missing() == [0, 253, HOST]
    assert all([asked.accept(chip, number) for chip in (HOST, 253, 0)])
    asked.begin([])
    assert asked.awaited == 0


def test_sequence_numbers_wrap():
    asked = Outstanding(65534)
    assert asked.begin([1]) == 65535
    assert asked.begin([1]) == 0
    assert not asked.accept(1, 65535)
    assert asked.late == 1
    assert not asked.accept(1, 1)
    assert asked.foreign == 1
    assert asked.accept(1, 0)


def test_a_storm_of_answers_completes_each_request_exactly_once():
    asked = Outstanding(65500)
    earlier = []
    for _ in range(100):
        number = asked.begin(range(8))
        storm = [(chip, number) for chip in range(8)] * 2
        storm += [earlier[below(len(earlier))] for _ in range(5)] if earlier else []
        accepted = [answer for answer in shuffled(storm) if asked.accept(*answer)]
        assert sorted(accepted) == [(chip, number) for chip in range(8)]
        earlier += [(chip, number) for chip in range(8)]
    assert asked.duplicate == 800
    assert asked.late == 99 * 5
    assert asked.foreign == 0


def request_of(sequence, src=HOST, position=10, sequence_id=1):
    payload = encode_compute(sequence_id, 0, 0, position, 1, bytes(8))
    buf = bytearray(HEADER_SIZE + len(payload) + 4)
    buf[HEADER_SIZE : HEADER_SIZE + len(payload)] = payload
    seal(buf, 2, message_types.COMPUTE, src, 3, sequence, len(payload))
    return buf


def keep(buf, sequence, src=HOST, position=10, sequence_id=1, data=b"sum"):
    """Builds an answer in the buffer as a chip does; its frame."""
    payload = encode_partial(sequence_id, 0, 0, position, 1, 99, 8, data)
    buf[HEADER_SIZE : HEADER_SIZE + len(payload)] = payload
    write_header(buf, 2, message_types.PARTIAL, 3, src, sequence, len(payload))
    return bytes(buf[: append_trailer(buf, len(payload))])


def is_kept(buf, request):
    """Whether the buffer holds the request's answer, by each of the two that look."""
    fields = array("i", [0] * 6)
    length = request[LENGTH] | request[LENGTH + 1] << 8
    copy = bytearray(buf)
    if length >= 7:
        begun = begin_compute(request, copy, length, 99, fields)
        assert (begun == -2) == bool(is_answered(request, buf))
        assert (copy == buf and copy[VERSION] > 0) == (begun == -2)
    return bool(is_answered(request, buf))


def test_a_repeated_request_is_answered_from_the_buffer():
    buf = make_answer_buffer(64)
    assert not is_kept(buf, request_of(7))
    frame = keep(buf, 7)
    for _ in range(2):
        assert is_kept(buf, request_of(7))
        assert bytes(buf[: append_trailer(buf, len(frame) - HEADER_SIZE - 4)]) == frame


def test_only_the_very_request_is_found():
    buf = make_answer_buffer(64)
    keep(buf, 7)
    assert not is_kept(buf, request_of(8))
    assert not is_kept(buf, request_of(7 + 256))
    assert not is_kept(buf, request_of(7, src=5))
    assert not is_kept(buf, request_of(7, position=11))
    assert not is_kept(buf, request_of(7, sequence_id=2))
    assert is_kept(buf, request_of(7))
    buf[VERSION] = 0
    assert not is_kept(buf, request_of(7))


def test_a_request_too_short_to_have_a_name_is_not_found():
    buf = make_answer_buffer(64)
    keep(buf, 7)
    for length in range(7):
        short = bytearray(HEADER_SIZE + length + 4)
        seal(short, 2, message_types.COMPUTE, HOST, 3, 7, length)
        assert not is_kept(buf, short)
