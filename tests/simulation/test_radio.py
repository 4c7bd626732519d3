"""The model of the air: who hears what, when, and how often."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.simulation.in_process import InProcessAir
from host.simulation.radio import BROADCAST, RSSI_DBM, FakeRadio, corrupted
from protocol.message import FederationMessage

A, B, C = (bytes([2, 0, 0, 0, 0, number]) for number in (1, 2, 3))
FRAMES = 20_000


class Listener:
    """A station that writes down what it hears, and when."""

    def __init__(self, radio, mac, channel=1, room=True):
        self.heard = []
        self.responses = []
        self._radio = radio
        self._room = room
        self.station = radio.join(mac, channel, self.receive, self.responses.append)

    def receive(self, sender, payload, rssi):
        assert rssi == RSSI_DBM
        self.heard.append((self._radio.now_us, sender.mac, bytes(payload)))
        return self._room

    @property
    def payloads(self):
        return [payload for _, _, payload in self.heard]


def numbered(count):
    return [number.to_bytes(4, "little") for number in range(count)]


def sent_over(radio, count=FRAMES, gap_us=100):
    """What B hears of frames that A sends it, one every gap_us."""
    a, b = Listener(radio, A), Listener(radio, B)
    for payload in numbered(count):
        radio.transmit(a.station, B, payload)
        radio.advance(gap_us)
    radio.advance(1_000_000)
    assert len(a.responses) == count
    return a, b


def test_without_impairments_frames_arrive_at_once_in_order_and_whole():
    radio = FakeRadio()
    a, b = sent_over(radio, 100)
    assert b.heard == [(100 * number, A, payload) for number, payload in enumerate(numbered(100))]
    assert all(a.responses)
    assert (radio.counters.sent, radio.counters.delivered) == (100, 100)


def test_a_broadcast_reaches_all_but_the_sender_and_counts_as_acknowledged():
    radio = FakeRadio(loss=1.0)
    a, b, c = (Listener(radio, mac) for mac in (A, B, C))
    radio.transmit(a.station, BROADCAST, b"x")
    assert (a.responses, radio.counters.lost) == ([True], 2)
    radio = FakeRadio()
    a, b, c = (Listener(radio, mac) for mac in (A, B, C))
    radio.transmit(a.station, BROADCAST, b"x")
    assert (a.heard, b.payloads, c.payloads) == ([], [b"x"], [b"x"])


def test_nobody_hears_another_channel_or_acknowledges_an_unknown_address():
    radio = FakeRadio()
    a, b = Listener(radio, A), Listener(radio, B, channel=6)
    for destination in (B, C, A, BROADCAST):
        radio.transmit(a.station, destination, b"x")
    assert a.responses == [False, False, False, True]
    assert b.heard == a.heard == []
    assert radio.counters.unheard == 3


def test_a_full_receiver_acknowledges_all_the_same():
    radio = FakeRadio()
    a, b = Listener(radio, A), Listener(radio, B, room=False)
    radio.transmit(a.station, B, b"x")
    assert a.responses == [True] and len(b.heard) == 1
    assert (radio.counters.overflowed, radio.counters.delivered) == (1, 0)


def test_a_station_that_left_gets_nothing_that_was_in_flight():
    radio = FakeRadio(delay_us=10)
    a, b = Listener(radio, A), Listener(radio, B)
    radio.transmit(a.station, B, b"x")
    again = Listener(radio, B)
    radio.advance(100)
    assert b.heard == again.heard == []
    radio.transmit(a.station, B, b"y")
    radio.advance(100)
    assert b.heard == [] and again.payloads == [b"y"]


def test_delay_and_jitter_bound_the_time_of_flight():
    a, b = sent_over(FakeRadio(delay_us=50, jitter_us=40), 2000)
    flights = [due - 100 * number for number, (due, _, _) in enumerate(b.heard)]
    assert min(flights) == 50 and max(flights) == 90
    assert len(a.responses) == 2000


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5])
def test_the_measured_loss_is_the_loss_asked_for(rate):
    radio = FakeRadio(seed=5, loss=rate)
    a, b = sent_over(radio)
    # Five standard deviations of a binomial count.
    margin = 5 * (FRAMES * rate * (1 - rate)) ** 0.5
    assert abs(radio.counters.lost - FRAMES * rate) < margin
    assert len(b.heard) == FRAMES - radio.counters.lost == sum(a.responses)


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_the_measured_duplication_corruption_and_reordering_are_those_asked_for(rate):
    margin = 5 * (FRAMES * rate * (1 - rate)) ** 0.5
    radio = FakeRadio(duplicate=rate)
    _, b = sent_over(radio)
    assert abs(len(b.heard) - FRAMES - FRAMES * rate) < margin
    assert len(b.heard) == FRAMES + radio.counters.duplicated

    radio = FakeRadio(corrupt=rate)
    _, b = sent_over(radio)
    wrong = sum(got != sent for got, sent in zip(b.payloads, numbered(FRAMES), strict=True))
    assert wrong == radio.counters.corrupted
    assert abs(wrong - FRAMES * rate) < margin

    radio = FakeRadio(reorder=rate, delay_us=10, reorder_us=150)  # late by more than the gap
    _, b = sent_over(radio)
    late = sum(later < earlier for earlier, later in zip(b.payloads, b.payloads[1:], strict=False))
    assert sorted(b.payloads) == sorted(numbered(FRAMES))
    assert abs(radio.counters.reordered - FRAMES * rate) < margin
    # A late frame is overtaken by the next one, unless that is late too.
    assert abs(late - FRAMES * rate * (1 - rate)) < margin


IMPAIRED = {"loss": 0.2, "duplicate": 0.1, "reorder": 0.2, "corrupt": 0.1, "jitter_us": 300}


def test_the_same_seed_gives_the_same_air_and_another_a_different_one():
    histories = [sent_over(FakeRadio(seed, **IMPAIRED), 500)[1].heard for seed in (1, 1, 2)]
    assert histories[0] == histories[1] != histories[2]


def test_fates_on_a_link_do_not_depend_on_other_links():
    quiet, busy = (FakeRadio(7, loss=0.5) for _ in range(2))
    heard = []
    for radio in (quiet, busy):
        a, b, c = (Listener(radio, mac) for mac in (A, B, C))
        for payload in numbered(200):
            if radio is busy:
                radio.transmit(c.station, B, b"other")
                radio.transmit(b.station, A, b"other")
            radio.transmit(a.station, B, payload)
        heard.append([payload for payload in b.payloads if payload != b"other"])
    assert heard[0] == heard[1]
    assert 50 < len(heard[0]) < 150


def test_receivers_of_a_broadcast_meet_independent_fates():
    radio = FakeRadio(loss=0.5)
    a, b, c = (Listener(radio, mac) for mac in (A, B, C))
    for payload in numbered(FRAMES):
        radio.transmit(a.station, BROADCAST, payload)
    both = len(set(b.payloads) & set(c.payloads))
    assert abs(both - FRAMES / 4) < 5 * (FRAMES * 3 / 16) ** 0.5


@given(st.binary(min_size=1, max_size=60), st.integers())
def test_corruption_keeps_the_length_and_changes_one_to_three_bytes(payload, seed):
    damaged = corrupted(payload, random.Random(seed))
    changed = sum(x != y for x, y in zip(payload, damaged, strict=True))
    assert 1 <= changed <= min(3, len(payload))


def test_events_happen_in_order_of_time_and_then_of_making():
    radio = FakeRadio(delay_us=100)
    a, b = Listener(radio, A), Listener(radio, B)
    radio.transmit(a.station, B, b"1")
    radio.transmit(a.station, B, b"2")
    assert radio.next_event_us == 100
    radio.advance(99)
    assert b.heard == []
    radio.advance_to(50)  # time does not run backwards
    assert radio.now_us == 99
    radio.advance(1)
    assert b.heard == [(100, A, b"1"), (100, A, b"2")]
    assert radio.next_event_us is None


@pytest.mark.parametrize(
    ("impairment", "message"),
    [
        ({"loss": 1.5}, "loss is a probability from 0 to 1, not 1.5"),
        ({"corrupt": -0.1}, "corrupt is a probability"),
        ({"delay_us": -1}, "delay_us is a time in microseconds, not -1"),
    ],
)
def test_impossible_impairments_are_refused(impairment, message):
    with pytest.raises(ValueError, match=message):
        FakeRadio(**impairment)


def test_impossible_addresses_and_a_256th_station_are_refused():
    radio = FakeRadio()
    for mac in (BROADCAST, b"short", b"\x01" * 6):
        with pytest.raises(ValueError, match="is not a unicast address"):
            Listener(radio, mac)
    for number in range(255):
        Listener(radio, bytes([2, 0, 0, 0, 1, number]))
    with pytest.raises(ValueError, match="more than 255"):
        Listener(radio, A)
    Listener(radio, bytes([2, 0, 0, 0, 1, 9]))  # one that was there before has its number


def test_a_message_arrives_as_the_very_frame_that_was_sent():
    radio, heard = FakeRadio(), []
    sender, mute = radio.join(A), radio.join(C)
    radio.join(B, receive=lambda sender, frame, rssi: heard.append((sender.mac, bytes(frame))))
    message = FederationMessage(0x10, 254, 0, 7, b"\1\2\3")
    radio.transmit(sender, B, message.encode())
    radio.transmit(sender, mute.mac, message.encode())
    assert heard == [(A, message.encode())]
    assert FederationMessage.decode(heard[0][1]) == message
    # What returns nothing has room, and who has no receiver hears all the same.
    assert (radio.counters.delivered, radio.counters.overflowed) == (2, 0)


def test_an_air_in_process_hands_over_plain_frames():
    radio, taken = FakeRadio(), []

    class Receiver:
        def receive(self, sender, rssi, frame):
            taken.append((sender, rssi, bytes(frame)))
            return True

    air = InProcessAir(radio, B)
    air.receiver = Receiver()
    sender = radio.join(A)
    radio.transmit(sender, B, b"frame")
    assert taken == [(sender.number, RSSI_DBM, b"frame")]
