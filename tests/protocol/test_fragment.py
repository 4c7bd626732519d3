"""Fragments and reassembly over a link that loses, doubles and reorders."""

from protocol import message_types
from protocol.auth import Signer
from protocol.fields import u16
from protocol.fragment import MAX_FRAGMENTS, MAX_MESSAGE, Reassembler, fragment_room, fragments
from protocol.frame import (
    DST,
    HEADER_SIZE,
    HOST,
    SEQUENCE,
    SRC,
    TYPE,
    VERSION,
    ProtocolError,
    seal,
    verify_frame,
    write_header,
)
from tests.dual import raises
from tests.protocol.noise import below, random_bytes, shuffled

KEY = b"a session key of thirty-two byte"


def message_of(payload, version=2, src=4, sequence=600):
    buf = bytearray(HEADER_SIZE) + payload
    write_header(buf, version, message_types.PARTIAL, src, HOST, sequence, len(payload))
    return buf


def sent(message, mtu=250, signer=None):
    """The frames that the message's fragments make."""
    frame = bytearray(mtu)
    length = len(message) - HEADER_SIZE
    return [bytes(frame[:n]) for n in fragments(message, length, mtu, frame, signer)]


def received(reassembler, frame, signer=None):
    """The payload of the message that the frame finishes, or None."""
    length = reassembler.accept(frame, verify_frame(frame, len(frame), signer))
    if length:
        return bytes(reassembler.message[HEADER_SIZE : HEADER_SIZE + length])
    return None


def resealed(frame, at, value):
    """A fragment with one byte changed and a right CRC-32."""
    buf = bytearray(frame)
    buf[at] = value
    length = len(buf) - HEADER_SIZE - 4
    seal(buf, 2, buf[TYPE], buf[SRC], buf[DST], u16(buf, SEQUENCE), length)
    return bytes(buf)


def test_every_size_and_version_is_put_together_again():
    for version in (2, 3):
        sender, receiver = (Signer(KEY), Signer(KEY)) if version == 3 else (None, None)
        room = fragment_room(version, 250)
        reassembler = Reassembler(1, 2048)
        for size in [room + 1, 2 * room - 1, 2 * room, 2 * room + 1, 1000, 2047, 2048]:
            payload = random_bytes(size)
            frames = sent(message_of(payload, version), 250, sender)
            assert len(frames) == (size + room - 1) // room
            assert max(len(frame) for frame in frames) <= 250
            for frame in frames[:-1]:
                assert received(reassembler, frame, receiver) is None
            assert received(reassembler, frames[-1], receiver) == bytes(payload)
        assert reassembler.dropped == 0


def test_the_message_has_its_own_header():
    reassembler = Reassembler(1, 512)
    for frame in sent(message_of(random_bytes(500), src=9, sequence=54321)):
        assert frame[TYPE] == message_types.FRAGMENT
        assert (frame[SRC], frame[DST], u16(frame, SEQUENCE)) == (9, HOST, 54321)
        received(reassembler, frame)
    message = reassembler.message
    assert (message[VERSION], message[TYPE]) == (2, message_types.PARTIAL)
    assert (message[SRC], message[DST], u16(message, SEQUENCE)) == (9, HOST, 54321)
    assert u16(message, 6) == 500


def test_any_order_and_duplicates():
    for _ in range(50):
        payload = bytes(random_bytes(300 + below(1700)))
        frames = sent(message_of(payload))
        # All but one of the fragments twice or more, then that one: no order can matter.
        frames = shuffled(frames)
        first = shuffled(frames[1:] * 2 + frames[1:2])
        reassembler = Reassembler(1, 2048)
        assert [received(reassembler, frame) for frame in first] == [None] * len(first)
        assert received(reassembler, frames[0]) == payload
        assert reassembler.dropped == 0


def test_sending_again_fills_the_holes():
    payload = bytes(random_bytes(2000))
    frames = sent(message_of(payload))
    reassembler = Reassembler(1, 2048)
    for frame in frames[::2]:
        assert received(reassembler, frame) is None
    again = sent(message_of(payload))
    results = [received(reassembler, frame) for frame in again[1::2]]
    assert results == [None] * (len(results) - 1) + [payload]


def test_many_messages_over_a_bad_link_arrive_by_resends_alone():
    messages = {}
    for src in range(6):
        messages[src] = bytes(random_bytes(600 + below(1400)))
    reassembler = Reassembler(6, 2048)
    missing = dict(messages)
    rounds = 0
    while missing:
        rounds += 1
        assert rounds < 40
        air = []
        for src in missing:
            for frame in sent(message_of(messages[src], src=src)):
                copies = (0, 0, 1, 1, 1, 2)[below(6)]  # a third lost, a sixth doubled
                air += [frame] * copies
        for frame in shuffled(air):
            payload = received(reassembler, frame)
            if payload is not None:
                assert payload == messages[frame[SRC]]
                missing.pop(frame[SRC], None)
    assert rounds > 1


def test_messages_with_the_same_name_are_not_mixed():
    old = bytes(random_bytes(700))
    new = bytes(random_bytes(700))
    reassembler = Reassembler(2, 1000)
    for frame in sent(message_of(old))[:2]:
        received(reassembler, frame)
    assert [received(reassembler, frame) for frame in sent(message_of(new))][-1] == new
    assert reassembler.dropped == 1


def test_a_mixture_with_the_same_tag_is_refused():
    frames = sent(message_of(random_bytes(700)))
    forged = resealed(frames[1], 30, frames[1][30] ^ 1)
    reassembler = Reassembler(1, 1000)
    received(reassembler, frames[0])
    received(reassembler, forged)
    for frame in frames[2:-1]:
        received(reassembler, frame)
    raises(ProtocolError, received, reassembler, frames[-1])
    assert reassembler.dropped == 1


def test_the_message_that_waited_longest_gives_way():
    payloads = [bytes(random_bytes(400)) for _ in range(3)]
    first, second, third = [sent(message_of(payloads[src], src=src)) for src in range(3)]
    reassembler = Reassembler(2, 400)
    received(reassembler, first[0])
    received(reassembler, second[0])
    received(reassembler, first[0])  # touched again: the second is now the older
    received(reassembler, third[0])
    assert reassembler.dropped == 1
    assert received(reassembler, first[1]) == payloads[0]
    assert received(reassembler, third[1]) == payloads[2]
    assert received(reassembler, second[1]) is None


def test_fields_that_contradict_each_other_are_refused():
    frames = sent(message_of(random_bytes(700)))
    assert len(frames) == 4
    total = len(frames)
    for at, values in (
        (8, (message_types.FRAGMENT,)),
        (9, (total, 255)),
        (10, (0, 1, 2, total - 1, total + 1, MAX_FRAGMENTS)),
        (11, ((700 & 255) ^ 1,)),
        (12, (0, 1, 255)),
    ):
        for value in values:
            reassembler = Reassembler(1, 2048)
            frame = resealed(frames[-1], at, value)
            raises(ProtocolError, received, reassembler, frame)
            assert not reassembler._slots[0].arrived
    for length in range(8):
        buf = bytearray(frames[0])
        n = seal(buf, 2, message_types.FRAGMENT, 4, HOST, 1, length)
        raises(ProtocolError, received, Reassembler(1, 2048), buf[:n])


def test_a_message_beyond_the_capacity_is_refused():
    frames = sent(message_of(random_bytes(701)))
    raises(ProtocolError, received, Reassembler(1, 700), frames[0])
    assert received(Reassembler(1, 701), frames[0]) is None


def fragments_of_too_many():
    buf = bytearray(HEADER_SIZE)
    write_header(buf, 2, message_types.PARTIAL, 4, HOST, 1, 0)
    return list(fragments(buf, MAX_MESSAGE + 1, 1470, bytearray(1470)))


def test_long_messages_are_put_together_whatever_is_lost_and_doubled():
    for mtu, length in ((250, 16394), (1470, 65535), (2068, 65535), (250, 58000)):
        payload = random_bytes(length)
        reassembler, whole, sendings = Reassembler(1, length), None, 0
        while whole is None:
            sendings += 1
            for frame in shuffled(sent(message_of(payload), mtu)):
                for _ in range(below(3)):
                    whole = received(reassembler, frame) or whole
        assert whole == payload and sendings > 1 and reassembler.dropped == 0


def test_what_needs_no_fragments_or_too_many_is_refused():
    room = fragment_room(2, 250)

    def made(size, mtu):
        return sent(message_of(bytes(size)), mtu)

    raises(ValueError, made, room, 250)
    raises(ValueError, made, 0, 250)
    assert len(made(room + 1, 250)) == 2
    length = room * MAX_FRAGMENTS
    assert len(made(length, 250)) == MAX_FRAGMENTS
    raises(ValueError, made, length + 1, 250)
    assert len(made(MAX_MESSAGE, 1470)) < MAX_FRAGMENTS
    raises(ValueError, fragments_of_too_many)
    raises(ValueError, made, 100, 19)
