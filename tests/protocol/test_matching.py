"""Requests and answers find each other."""

from protocol.answers import AnswerCache
from protocol.frame import HEADER_SIZE, HOST, append_trailer, seal, write_header
from protocol.matching import Outstanding
from protocol.message import MessageType
from protocol.payloads import compute_payload, partial_payload
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
    payload = compute_payload(sequence_id, 0, 0, position, 1, bytes(8))
    buf = bytearray(HEADER_SIZE + len(payload) + 4)
    buf[HEADER_SIZE : HEADER_SIZE + len(payload)] = payload
    seal(buf, 2, MessageType.COMPUTE, src, 3, sequence, len(payload))
    return buf


def answer(cache, sequence, src=HOST, position=10, sequence_id=1, data=b"sum"):
    """Builds an answer in the cache's room as a chip does; its frame."""
    payload = partial_payload(sequence_id, 0, 0, position, 1, 99, 8, data)
    buf = cache.room()
    buf[HEADER_SIZE : HEADER_SIZE + len(payload)] = payload
    write_header(buf, 2, MessageType.PARTIAL, 3, src, sequence, len(payload))
    n = append_trailer(buf, len(payload))
    cache.keep(2)
    return bytes(buf[:n])


def test_a_repeated_request_is_answered_from_the_cache():
    cache = AnswerCache(3, 64)
    assert cache.found(request_of(7)) is None
    frame = answer(cache, 7)
    for _ in range(2):
        kept = cache.found(request_of(7))
        assert bytes(kept[: append_trailer(kept, len(frame) - HEADER_SIZE - 4)]) == frame


def test_only_the_very_request_is_found():
    cache = AnswerCache(3, 64)
    answer(cache, 7)
    assert cache.found(request_of(8)) is None
    assert cache.found(request_of(7 + 256)) is None
    assert cache.found(request_of(7, src=5)) is None
    assert cache.found(request_of(7, position=11)) is None
    assert cache.found(request_of(7, sequence_id=2)) is None
    assert cache.found(request_of(7)) is not None
    cache.clear()
    assert cache.found(request_of(7)) is None


def test_the_oldest_answer_goes_first():
    cache = AnswerCache(3, 64)
    for sequence in range(10):
        answer(cache, sequence)
        for earlier in range(10):
            kept = cache.found(request_of(earlier))
            assert (kept is not None) == (sequence - 3 < earlier <= sequence)
    assert len({id(cache.found(request_of(sequence))) for sequence in (7, 8, 9)}) == 3


def test_an_answer_given_up_is_not_found():
    cache = AnswerCache(1, 64)
    answer(cache, 7)
    cache.room()
    assert cache.found(request_of(7)) is None


def test_a_request_too_short_to_have_a_name_is_not_found():
    cache = AnswerCache(1, 64)
    answer(cache, 7)
    for length in range(7):
        short = bytearray(HEADER_SIZE + length + 4)
        seal(short, 2, MessageType.COMPUTE, HOST, 3, 7, length)
        assert cache.found(short) is None
