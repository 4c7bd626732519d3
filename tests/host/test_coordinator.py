"""Requests and answers: what is lost, late, doubled or wrong, errors by name, patience."""

import pytest

from host.cluster import coordinator as module
from host.cluster.coordinator import Coordinator, NeedsCache, NeedsGreeting
from host.cluster.errors import ClusterError
from protocol.frame import BROADCAST
from protocol.host_session import HostAuthenticator
from protocol.message import MessageType
from protocol.reports import BAD_REQUEST, FAULT, NEED_KV, NEED_STEP, error_payload
from tests.host.fake_chips import LATENCY, Clock, FakeChip, FakeTransport, failure, silence

KEY = b"k" * 32
REQUEST = bytes(range(7)) + b"activations"


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


class Cluster:
    """Fake chips and their coordinator."""

    def __init__(self, clock, count=3, key=b"", watch=lambda: None, **way):
        self.clock = clock
        self.chips = [FakeChip(chip, key=key) for chip in range(count)]
        self.transport = FakeTransport(self.chips, clock, **way)
        self.signer = HostAuthenticator(key) if key else None
        self.coordinator = Coordinator(
            self.transport, range(count), signer=self.signer, watch=watch
        )

    def compute(self, chips=None, where="attention of layer 2, position 7"):
        chips = list(range(len(self.chips))) if chips is None else chips
        return self.coordinator.compute(REQUEST, chips, where, "attention")

    def says(self, chip, kind, payload, sequence, delay=0.0):
        """A frame of a chip that nobody asked for."""
        for frame in self.chips[chip].says(kind, payload, sequence):
            self.transport.arrive(frame, delay)


def answers_of(*chips):
    return {chip: REQUEST + bytes([chip]) for chip in chips}


def test_one_broadcast_is_answered_by_all(clock):
    cluster = Cluster(clock)
    assert cluster.compute() == answers_of(0, 1, 2)
    assert [destination for _, destination in cluster.transport.sent] == [BROADCAST]
    assert clock.now == 1000 + LATENCY and cluster.coordinator.resends == 0


def test_one_chip_is_asked_alone(clock):
    cluster = Cluster(clock)
    assert cluster.compute([1]) == answers_of(1)
    assert [destination for _, destination in cluster.transport.sent] == [1]


def test_some_are_awaited_and_others_ignored(clock):
    cluster = Cluster(clock)
    cluster.chips[1].delay = LATENCY / 2
    assert cluster.compute([0, 2]) == answers_of(0, 2)


def test_the_order_of_answers_does_not_matter(clock):
    cluster = Cluster(clock, 5)
    for chip in cluster.chips:
        chip.delay = 0.03 - chip.chip * 0.005
    assert cluster.compute() == answers_of(*range(5))
    assert cluster.coordinator.resends == 0


def test_only_the_chip_whose_answer_is_missing_is_asked_again(clock):
    cluster = Cluster(clock)
    lost = iter([True, True, False])
    chip = cluster.chips[1]
    chip.on_compute = lambda message: silence(message) if next(lost) else chip.echo(message)
    assert cluster.compute() == answers_of(0, 1, 2)
    assert [destination for _, destination in cluster.transport.sent] == [BROADCAST, 1, 1]
    assert cluster.coordinator.resends == 2
    assert len({message.sequence for message in chip.asked}) == 1


def test_a_doubled_answer_counts_once(clock):
    cluster = Cluster(clock)
    chip = cluster.chips[0]

    def twice(message):
        yield 0.001, MessageType.PARTIAL, REQUEST + b"first"
        yield 0.0015, MessageType.PARTIAL, REQUEST + b"second"

    chip.on_compute = twice
    assert cluster.compute() == {**answers_of(1, 2), 0: REQUEST + b"first"}


def test_an_answer_to_an_earlier_request_is_no_answer_to_this(clock):
    cluster = Cluster(clock, 2)
    slow = cluster.chips[0]

    def late(message):
        if len(slow.asked) == 1:
            yield 0.060, MessageType.PARTIAL, REQUEST + b"late"
        yield 0.055, MessageType.PARTIAL, REQUEST + b"in time %d" % len(slow.asked)

    slow.on_compute = late
    assert cluster.compute()[0] == REQUEST + b"in time 1"
    assert cluster.compute()[0] == REQUEST + b"in time 3"


def test_damaged_and_foreign_bytes_are_dropped(clock):
    cluster = Cluster(clock, 2)
    chip = cluster.chips[1]
    frame = bytearray(chip.says(MessageType.PARTIAL, REQUEST + b"damaged", 1)[0])
    for damaged in (b"", b"\x02", bytes(frame[:-1]), bytes(frame) + b"x", b"\xff" * 300):
        cluster.transport.arrive(damaged, 0.001)
    frame[9] ^= 4
    cluster.transport.arrive(bytes(frame), 0.001)
    assert cluster.compute() == answers_of(0, 1)
    assert cluster.coordinator.dropped == 6


def test_messages_larger_than_the_mtu_go_in_fragments_and_come_so(clock):
    cluster = Cluster(clock, 2, mtu=64)
    cluster.coordinator.compute(REQUEST, [0], "", "short")
    assert len(cluster.transport.sent) == 1
    chip = cluster.chips[1]
    answer = REQUEST + bytes(range(200))
    lost = []

    def with_a_hole(message):
        yield LATENCY, MessageType.PARTIAL, answer

    says = chip.says

    def losing(kind, payload, sequence):
        frames = says(kind, payload, sequence)
        if not lost:
            lost.append(frames.pop(2))
        return frames

    chip.on_compute, chip.says = with_a_hole, losing
    assert cluster.compute([1])[1] == answer
    assert len(lost) == 1 and cluster.coordinator.resends == 1


def test_a_request_larger_than_the_mtu_is_sent_in_fragments(clock):
    cluster = Cluster(clock, 1, mtu=64)
    with pytest.raises(ClusterError):  # a fake chip does not put fragments together
        cluster.coordinator.compute(bytes(100), [0], "", "long")
    started = [destination for time, destination in cluster.transport.sent if time == 1000]
    assert started == [0, 0, 0]


def test_need_kv_says_which_chip_needs_its_cache(clock):
    cluster = Cluster(clock)
    cluster.chips[2].on_compute = failure(NEED_KV)
    with pytest.raises(NeedsCache) as caught:
        cluster.compute()
    assert caught.value.chip == 2


@pytest.mark.parametrize(("code", "name"), [(BAD_REQUEST, "BAD_REQUEST"), (FAULT, "FAULT")])
def test_other_errors_name_the_chip_the_place_and_its_words(clock, code, name):
    cluster = Cluster(clock)
    cluster.chips[1].on_compute = failure(code, "MemoryError: no room")
    with pytest.raises(ClusterError) as caught:
        cluster.compute()
    assert str(caught.value) == (
        f"chip 1, attention of layer 2, position 7: {name}: MemoryError: no room"
    )


def test_an_error_of_an_earlier_request_does_not_end_this_one(clock):
    cluster = Cluster(clock)
    cluster.compute()
    sequence = cluster.chips[1].asked[-1].sequence
    cluster.says(1, MessageType.ERROR, error_payload(NEED_KV, 0, 0, ""), sequence)
    cluster.says(2, MessageType.ERROR, error_payload(FAULT, 0, 0, "old"), sequence)
    assert cluster.compute() == answers_of(0, 1, 2)


def test_silence_ends_in_an_error_that_names_the_chip_and_the_place(clock):
    cluster = Cluster(clock)
    cluster.chips[1].on_compute = silence
    with pytest.raises(ClusterError) as caught:
        cluster.compute()
    assert str(caught.value) == (
        "chip 1 did not answer for 2.5 s (attention of layer 2, position 7)"
    )
    assert clock.now - 1000 == pytest.approx(LATENCY + 2.5, abs=1e-4)
    # Some 20 repetitions within the patience, so that loss is not taken for death.
    assert 20 <= cluster.coordinator.resends <= 40


def test_all_that_are_silent_are_named_with_the_last_words_of_some(clock):
    cluster = Cluster(clock, 4)
    for chip in (0, 2, 3):
        cluster.chips[chip].on_compute = silence
    cluster.says(2, MessageType.ERROR, error_payload(FAULT, 0, 0, "ValueError: x"), 0, 0.3)
    cluster.says(1, MessageType.ERROR, error_payload(FAULT, 0, 0, "it lives"), 0, 0.3)
    with pytest.raises(ClusterError) as caught:
        cluster.compute()
    assert str(caught.value) == (
        "chips 0, 2 and 3 did not answer for 2.5 s (attention of layer 2, position 7);"
        " last words of chip 2: ValueError: x"
    )


def test_patience_counts_from_the_last_answer(clock):
    cluster = Cluster(clock, 5)
    for chip in cluster.chips:
        chip.delay = 2.0 * (chip.chip + 1)
    assert cluster.compute() == answers_of(*range(5))
    assert clock.now >= 1010


def test_the_watch_is_asked_while_waiting_and_its_error_is_raised(clock):
    def watch():
        raise ClusterError("chip 0 died")

    cluster = Cluster(clock, watch=watch)
    cluster.chips[0].on_compute = silence
    with pytest.raises(ClusterError, match="chip 0 died"):
        cluster.compute()
    assert clock.now < 1000.2


def test_a_port_that_is_still_sending_is_not_given_more(clock):
    cluster = Cluster(clock)
    for chip in (0, 1):
        cluster.chips[chip].on_compute = silence
    cluster.transport.full.add(0)
    with pytest.raises(ClusterError):
        cluster.compute()
    destinations = [destination for _, destination in cluster.transport.sent]
    assert 0 not in destinations and destinations.count(1) > 10


def test_of_many_that_are_silent_eight_are_asked_again_at_a_time_and_all_in_turn(clock):
    cluster = Cluster(clock, 20)
    for chip in cluster.chips:
        chip.on_compute = silence
    with pytest.raises(ClusterError):
        cluster.compute()
    times = [time for time, destination in cluster.transport.sent if destination != BROADCAST]
    assert max(times.count(time) for time in times) == 8
    asked = [destination for _, destination in cluster.transport.sent[1:]]
    assert {asked.count(chip) for chip in range(20)} <= set(range(7, 20))


def test_statistics_are_asked_of_all_with_or_without_collecting(clock):
    cluster = Cluster(clock)
    statistics = cluster.coordinator.statistics(collect=True)
    assert [statistics[chip].heap_used for chip in range(3)] == [0, 100, 200]
    assert statistics[2].answers_resent == 207


def test_greeting_tells_what_each_chip_is_and_who_has_arrived(clock):
    cluster = Cluster(clock)
    arrived = []
    ready = cluster.coordinator.greet([0, 1, 2], arrived=arrived.append)
    assert cluster.coordinator.boot_ids == {chip.chip: chip.boot_id for chip in cluster.chips}
    assert {chip: of_one.boot_id for chip, of_one in ready.items()} == cluster.coordinator.boot_ids
    assert sorted(arrived) == [0, 1, 2]


def test_a_ready_of_another_version_is_an_error_of_that_chip(clock):
    cluster = Cluster(clock)
    cluster.chips[1].answers = lambda *_: iter([(LATENCY, MessageType.READY, b"short")])
    with pytest.raises(ClusterError, match="^chip 1 speaks another version: READY payload is too"):
        cluster.coordinator.greet([0, 1, 2])


def test_a_session_with_a_key_computes(clock):
    cluster = Cluster(clock, key=KEY)
    cluster.coordinator.greet([0, 1, 2])
    assert cluster.compute() == answers_of(0, 1, 2)


@pytest.mark.parametrize(("theirs", "ours"), [(b"x" * 32, KEY), (KEY, b""), (b"", KEY)])
def test_chips_with_another_key_or_none_stay_silent(clock, theirs, ours):
    cluster = Cluster(clock, 2, key=ours)
    cluster.chips[1] = cluster.transport.chips[1] = FakeChip(1, key=theirs)
    with pytest.raises(ClusterError, match=r"^chip 1 did not answer for 2.5 s \(at the start\)"):
        cluster.coordinator.greet([0, 1])


def test_a_restarted_chip_needs_a_greeting_and_gets_all_a_new_session(clock):
    cluster = Cluster(clock, key=KEY)
    cluster.coordinator.greet([0, 1, 2])
    session = cluster.signer.announcement()
    cluster.chips[1].restart()
    with pytest.raises(NeedsGreeting) as caught:
        cluster.compute()
    assert caught.value.chips == [1]
    assert 1000.6 <= clock.now < 1000.8  # a quarter of the patience
    ready = cluster.coordinator.greet(caught.value.chips)
    assert set(ready) == {0, 1, 2}
    assert cluster.signer.announcement() != session
    assert cluster.compute() == answers_of(0, 1, 2)
    assert cluster.coordinator.boot_ids[1] == cluster.chips[1].boot_id


def test_a_chip_that_restarts_while_it_is_greeted_does_not_refuse_the_key(clock):
    cluster = Cluster(clock, key=KEY)
    chip, greetings = cluster.chips[1], []
    replies = chip.replies

    def restarting(frame):
        greetings.append(frame)
        if len(greetings) == 2:  # which has the proof
            chip.restart()
        return replies(frame)

    chip.replies = restarting
    ready = cluster.coordinator.greet([0, 1, 2])
    assert len(greetings) > 2 and ready[1].boot_id == chip.boot_id
    assert cluster.compute() == answers_of(0, 1, 2)


def test_a_silent_chip_that_did_not_restart_stays_in_the_session(clock):
    cluster = Cluster(clock, key=KEY)
    cluster.coordinator.greet([0, 1, 2])
    session = cluster.signer.announcement()
    assert set(cluster.coordinator.greet([2])) == {2}
    assert cluster.signer.announcement() == session


def test_a_greeting_that_is_not_answered_says_where_it_was_needed(clock):
    cluster = Cluster(clock)
    cluster.chips[1].answers = lambda *_: iter(())
    with pytest.raises(ClusterError) as caught:
        cluster.coordinator.greet([1], where="vocabulary, position 3")
    assert str(caught.value) == "chip 1 did not answer for 2.5 s (vocabulary, position 3)"


@pytest.mark.parametrize("key", [b"", KEY])
def test_a_third_of_all_frames_lost_both_ways_costs_only_time(clock, key):
    cluster = Cluster(clock, 5, key=key, loss=0.33, seed=3)
    cluster.coordinator.greet(list(range(5)))
    for _ in range(500):
        try:
            assert cluster.compute() == answers_of(*range(5))
        except NeedsGreeting as need:
            cluster.coordinator.greet(need.chips)
    assert (clock.now - 1000) / 500 < 0.3


def test_waiting_stays_bounded_where_frames_are_lost_and_doubled(clock):
    cluster = Cluster(clock, 5, loss=0.2, duplicate=0.5, seed=4)
    for _ in range(1000):
        before = clock.now
        assert cluster.compute() == answers_of(*range(5))
        assert clock.now - before < 1.5
    assert (clock.now - 1000) / 1000 < 0.2


def acknowledges(message):
    yield LATENCY, MessageType.ACK, message.payload


def test_a_step_that_one_chip_missed_is_sent_to_it_as_soon_as_it_says_so(clock):
    cluster = Cluster(clock, 2)
    lost = iter([True])

    def misses_the_first(message):
        if next(lost, False):
            yield LATENCY, MessageType.ERROR, error_payload(NEED_STEP, 0, 0, "")
        else:
            yield from acknowledges(message)

    cluster.chips[0].on_compute, cluster.chips[1].on_compute = acknowledges, misses_the_first
    begun = clock.now
    assert set(cluster.coordinator.step(REQUEST, [0, 1], "", "step")) == {0, 1}
    assert cluster.coordinator.resends == 1
    assert clock.now - begun < 4 * LATENCY


def test_a_step_is_repeated_to_all_at_once_and_not_in_a_hurry(clock):
    cluster = Cluster(clock, 3)
    begun = clock.now

    def answers_late(message):
        if clock.now > begun + 0.15:
            yield from acknowledges(message)

    for chip in cluster.chips:
        chip.on_compute = answers_late
    assert len(cluster.coordinator.step(REQUEST, [0, 1, 2], "", "step")) == 3
    assert cluster.coordinator.resends == 1


def test_a_step_that_most_have_answered_is_repeated_to_the_others_alone(clock):
    cluster = Cluster(clock, 5)
    repeated = []

    def answers_the_second(message):
        repeated.append(message.dst)
        if len(repeated) > 2:
            yield from acknowledges(message)

    for chip in cluster.chips:
        chip.on_compute = answers_the_second if chip.chip in (1, 4) else acknowledges
    assert len(cluster.coordinator.step(REQUEST, list(range(5)), "", "step")) == 5
    assert repeated == [BROADCAST, BROADCAST, 1, 4] and cluster.coordinator.resends == 2


@pytest.mark.parametrize(("chips", "seconds"), [(3, 10), (8, 10), (20, 25)])
def test_for_a_step_of_many_chips_there_is_more_patience(clock, chips, seconds):
    cluster = Cluster(clock, chips)
    for chip in cluster.chips:
        chip.on_compute = silence
    with pytest.raises(ClusterError, match=rf"did not answer for {seconds}\.0 s"):
        cluster.coordinator.step(REQUEST, list(range(chips)), "", "step")
    assert clock.now - 1000 == pytest.approx(seconds, abs=1e-3)
