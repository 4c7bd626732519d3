"""The one reader of a transport: who is given what, and what is dropped and counted."""

import pytest

from host.cluster.dispatcher import Dispatcher, decode_answer
from host.errors import ClusterError
from host.wire.session import HostAuthenticator
from protocol import message_types
from protocol.frame import BROADCAST, ProtocolError
from tests.host.fake_chips import FakeChip, FakeTransport

KEY = b"k" * 32


class Subscriber:
    """Keeps the messages that it is given; `answer`: what it says of each."""

    def __init__(self, dispatcher, *kinds, answer=True):
        self.messages, self.answer = [], answer
        dispatcher.subscribe(kinds, self)

    def __call__(self, message):
        self.messages.append(message)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def chips():
    return [FakeChip(0), FakeChip(1)]


@pytest.fixture
def transport(chips, clock):
    return FakeTransport(chips, clock)


@pytest.fixture
def dispatcher(transport):
    return Dispatcher(transport, [0, 1])


def say(transport, chip, kind, payload, sequence=7, delay=0.001):
    for frame in chip.says(kind, payload, sequence):
        transport.arrive(frame, delay)


def test_all_who_subscribed_to_a_type_are_given_its_messages(dispatcher, transport, chips):
    first = Subscriber(dispatcher, message_types.ACK, message_types.LOGITS, answer=False)
    second = Subscriber(dispatcher, message_types.LOGITS)
    say(transport, chips[1], message_types.LOGITS, b"both")
    dispatcher.poll(1)
    assert first.messages == second.messages == [(message_types.LOGITS, 1, 7, b"both")]
    assert dispatcher.dropped == 0
    say(transport, chips[0], message_types.ACK, b"nobody expected")
    dispatcher.poll(1)
    assert len(first.messages) == 2 and dispatcher.dropped == 1
    say(transport, chips[0], message_types.PARTIAL, b"to nobody")
    dispatcher.poll(1)
    assert dispatcher.dropped == 2


def test_polling_waits_for_no_longer_than_asked(dispatcher, clock):
    dispatcher.poll(0.25)
    assert clock.now == 1000.25


def test_a_message_that_is_malformed_to_its_subscriber_is_dropped(dispatcher, transport, chips):
    Subscriber(dispatcher, message_types.ACK, answer=ProtocolError("too short"))
    after = Subscriber(dispatcher, message_types.LOGITS)
    say(transport, chips[0], message_types.ACK, b"")
    say(transport, chips[0], message_types.LOGITS, b"")
    dispatcher.poll(1)
    assert dispatcher.dropped == 1 and len(after.messages) == 1


def test_what_came_after_a_message_that_raised_is_kept(dispatcher, transport, chips):
    Subscriber(dispatcher, message_types.ERROR, answer=ClusterError("chip 0: no room"))
    others = Subscriber(dispatcher, message_types.LOGITS)
    say(transport, chips[0], message_types.LOGITS, b"before")
    say(transport, chips[0], message_types.ERROR, b"")
    say(transport, chips[1], message_types.LOGITS, b"after")
    with pytest.raises(ClusterError, match="no room"):
        dispatcher.poll(1)
    assert [message.payload for message in others.messages] == [b"before"]
    dispatcher.poll(0)
    assert [message.payload for message in others.messages] == [b"before", b"after"]


@pytest.mark.parametrize("stranger", [2, 200, 253])
def test_a_chip_that_is_not_in_the_cluster_is_dropped(dispatcher, transport, stranger):
    taken = Subscriber(dispatcher, message_types.LOGITS)
    say(transport, FakeChip(stranger), message_types.LOGITS, b"from afar")
    dispatcher.poll(1)
    assert taken.messages == [] and dispatcher.dropped == 1


def test_damaged_bytes_are_dropped(dispatcher, transport, chips):
    taken = Subscriber(dispatcher, message_types.LOGITS)
    (frame,) = chips[0].says(message_types.LOGITS, b"damaged", 1)
    for end in range(len(frame)):
        transport.arrive(frame[:end], 0.001)
        transport.arrive(frame[:end] + bytes([frame[end] ^ 1]) + frame[end + 1 :], 0.001)
    dispatcher.poll(1)
    assert taken.messages == [] and dispatcher.dropped == 2 * len(frame)


def test_fragments_are_put_together_and_tell_of_progress(dispatcher, transport, chips):
    chips[1].mtu = 64
    whole = Subscriber(dispatcher, message_types.LOGITS)
    pieces = Subscriber(dispatcher, message_types.FRAGMENT)
    say(transport, chips[1], message_types.LOGITS, bytes(range(150)))
    dispatcher.poll(1)
    assert [message.payload for message in whole.messages] == [bytes(range(150))]
    assert [message.payload[1] for message in pieces.messages] == [0, 1, 2]
    assert dispatcher.dropped == 0


def test_fragments_that_nobody_asks_for_are_not_dropped(dispatcher, transport, chips):
    chips[1].mtu = 64
    say(transport, chips[1], message_types.LOGITS, bytes(100))
    Subscriber(dispatcher, message_types.LOGITS)
    dispatcher.poll(1)
    assert dispatcher.dropped == 0


def test_messages_go_in_as_many_frames_as_the_mtu_takes(clock, chips):
    transport = FakeTransport(chips, clock, mtu=64)
    dispatcher = Dispatcher(transport, [0, 1])
    dispatcher.send(message_types.STEP, BROADCAST, 1, bytes(52))
    dispatcher.send(message_types.STEP, 1, 1, bytes(53))
    assert [to for _, to in transport.sent] == [BROADCAST, 1, 1]


def test_with_a_key_only_what_its_session_signs_is_taken(clock):
    chip = FakeChip(0, key=KEY)
    transport = FakeTransport([chip], clock)
    dispatcher = Dispatcher(transport, [0], HostAuthenticator(KEY))
    ready = Subscriber(dispatcher, message_types.READY)
    dispatcher.send(message_types.DISCOVERY, 0, 1, dispatcher.signer.announcement())
    dispatcher.poll(1)
    assert len(ready.messages) == 1
    for frame in FakeChip(0).says(message_types.READY, b"unsigned", 1):
        transport.arrive(frame, 0.001)
    dispatcher.poll(1)
    assert len(ready.messages) == 1 and dispatcher.dropped == 1


def test_a_malformed_answer_names_its_chip():
    def decode(payload):
        raise ProtocolError("PARTIAL payload is too short")

    with pytest.raises(ClusterError) as caught:
        decode_answer(3, decode, b"")
    assert str(caught.value) == "chip 3 sent a malformed answer: PARTIAL payload is too short"
