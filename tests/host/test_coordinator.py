"""Requests and answers: retransmission, duplicates, malformed answers, errors, timeouts."""

import numpy as np
import pytest

from host.cluster.coordinator import NeedsCache, NeedsHandshake
from host.errors import ClusterError
from protocol import message_types
from protocol.frame import BROADCAST
from protocol.messages import BAD_REQUEST, FAULT, MISSING, NEED_KV, NEED_STEP, encode_error
from tests.host.fake_chips import LATENCY, failure, silence
from tests.host.fake_cluster import KEY, REQUEST, FakeCluster, answers_of


def test_one_broadcast_is_answered_by_all(clock):
    cluster = FakeCluster(clock)
    assert cluster.compute() == answers_of(0, 1, 2)
    assert [destination for _, destination in cluster.transport.sent] == [BROADCAST]
    assert clock.now == 1000 + LATENCY and cluster.coordinator.resends == 0


def test_one_chip_is_asked_alone(clock):
    cluster = FakeCluster(clock)
    assert cluster.compute([1]) == answers_of(1)
    assert [destination for _, destination in cluster.transport.sent] == [1]


def test_some_are_awaited_and_others_ignored(clock):
    cluster = FakeCluster(clock)
    cluster.chips[1].delay = LATENCY / 2
    assert cluster.compute([0, 2]) == answers_of(0, 2)


def test_the_order_of_answers_does_not_matter(clock):
    cluster = FakeCluster(clock, 5)
    for chip in cluster.chips:
        chip.delay = 0.03 - chip.chip * 0.005
    assert cluster.compute() == answers_of(*range(5))
    assert cluster.coordinator.resends == 0


def test_only_the_chip_whose_answer_is_missing_gets_a_retransmission(clock):
    cluster = FakeCluster(clock)
    lost = iter([True, True, False])
    chip = cluster.chips[1]
    chip.on_compute = lambda message: silence(message) if next(lost) else chip.echo(message)
    assert cluster.compute() == answers_of(0, 1, 2)
    assert [destination for _, destination in cluster.transport.sent] == [BROADCAST, 1, 1]
    assert cluster.coordinator.resends == 2
    assert len({message.sequence for message in chip.asked}) == 1


def test_a_duplicate_answer_counts_once(clock):
    cluster = FakeCluster(clock)
    chip = cluster.chips[0]

    def twice(message):
        yield 0.001, message_types.PARTIAL, REQUEST + b"first"
        yield 0.0015, message_types.PARTIAL, REQUEST + b"second"

    chip.on_compute = twice
    assert cluster.compute() == {**answers_of(1, 2), 0: REQUEST + b"first"}


def test_an_answer_to_an_earlier_request_is_no_answer_to_this(clock):
    cluster = FakeCluster(clock, 2)
    slow = cluster.chips[0]

    def late(message):
        if len(slow.asked) == 1:
            yield 0.060, message_types.PARTIAL, REQUEST + b"late"
        yield 0.055, message_types.PARTIAL, REQUEST + b"in time %d" % len(slow.asked)

    slow.on_compute = late
    assert cluster.compute()[0] == REQUEST + b"in time 1"
    assert cluster.compute()[0] == REQUEST + b"in time 3"


def test_malformed_frames_are_dropped_and_counted(clock):
    cluster = FakeCluster(clock, 2)
    chip = cluster.chips[1]
    frame = bytearray(chip.says(message_types.PARTIAL, REQUEST + b"damaged", 1)[0])
    for damaged in (b"", b"\x02", bytes(frame[:-1]), bytes(frame) + b"x", b"\xff" * 300):
        cluster.transport.arrive(damaged, 0.001)
    frame[9] ^= 4
    cluster.transport.arrive(bytes(frame), 0.001)
    assert cluster.compute() == answers_of(0, 1)
    assert cluster.dispatcher.dropped == 6


def test_messages_larger_than_the_mtu_go_in_fragments_and_come_so(clock):
    cluster = FakeCluster(clock, 2, mtu=64)
    cluster.coordinator.compute(REQUEST, [0], "", "short")
    assert len(cluster.transport.sent) == 1
    chip = cluster.chips[1]
    answer = REQUEST + bytes(range(200))
    lost = []

    def with_a_hole(message):
        yield LATENCY, message_types.PARTIAL, answer

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
    cluster = FakeCluster(clock, 1, mtu=64)
    with pytest.raises(ClusterError):  # a fake chip does not put fragments together
        cluster.coordinator.compute(bytes(100), [0], "", "long")
    started = [destination for time, destination in cluster.transport.sent if time == 1000]
    assert started == [0, 0, 0]


def test_need_kv_says_which_chip_needs_its_cache(clock):
    cluster = FakeCluster(clock)
    cluster.chips[2].on_compute = failure(NEED_KV)
    with pytest.raises(NeedsCache) as caught:
        cluster.compute()
    assert caught.value.chip == 2


@pytest.mark.parametrize(("code", "name"), [(BAD_REQUEST, "BAD_REQUEST"), (FAULT, "FAULT")])
def test_other_errors_name_the_chip_the_place_and_its_words(clock, code, name):
    cluster = FakeCluster(clock)
    cluster.chips[1].on_compute = failure(code, "MemoryError: no room")
    with pytest.raises(ClusterError) as caught:
        cluster.compute()
    assert str(caught.value) == (
        f"chip 1, attention of layer 2, position 7: {name}: MemoryError: no room"
    )


def test_an_error_of_an_earlier_request_does_not_end_this_one(clock):
    cluster = FakeCluster(clock)
    cluster.compute()
    sequence = cluster.chips[1].asked[-1].sequence
    cluster.says(1, message_types.ERROR, encode_error(NEED_KV, 0, 0, ""), sequence)
    cluster.says(2, message_types.ERROR, encode_error(FAULT, 0, 0, "old"), sequence)
    assert cluster.compute() == answers_of(0, 1, 2)


def test_a_silent_chip_times_out_with_an_error_that_names_it_and_the_place(clock):
    cluster = FakeCluster(clock)
    cluster.chips[1].on_compute = silence
    with pytest.raises(ClusterError) as caught:
        cluster.compute()
    assert str(caught.value) == (
        "chip 1 did not answer for 2.5 s (attention of layer 2, position 7)"
    )
    assert clock.now - 1000 == pytest.approx(LATENCY + 2.5, abs=1e-4)
    # Some 20 retransmissions within the timeout, so that loss is not taken for death.
    assert 20 <= cluster.coordinator.resends <= 40


def test_all_silent_chips_are_named_with_the_last_error_of_some(clock):
    cluster = FakeCluster(clock, 4)
    for chip in (0, 2, 3):
        cluster.chips[chip].on_compute = silence
    cluster.says(2, message_types.ERROR, encode_error(FAULT, 0, 0, "ValueError: x"), 0, 0.3)
    cluster.says(1, message_types.ERROR, encode_error(FAULT, 0, 0, "it lives"), 0, 0.3)
    with pytest.raises(ClusterError) as caught:
        cluster.compute()
    assert str(caught.value) == (
        "chips 0, 2 and 3 did not answer for 2.5 s (attention of layer 2, position 7);"
        " last error of chip 2: ValueError: x"
    )


def test_the_timeout_counts_from_the_last_answer(clock):
    cluster = FakeCluster(clock, 5)
    for chip in cluster.chips:
        chip.delay = 2.0 * (chip.chip + 1)
    assert cluster.compute() == answers_of(*range(5))
    assert clock.now >= 1010


def test_the_watch_is_asked_while_waiting_and_its_error_is_raised(clock):
    def watch():
        raise ClusterError("chip 0 died")

    cluster = FakeCluster(clock, watch=watch)
    cluster.chips[0].on_compute = silence
    with pytest.raises(ClusterError, match="chip 0 died"):
        cluster.compute()
    assert clock.now < 1000.2


def test_a_port_that_is_still_sending_is_not_given_more(clock):
    cluster = FakeCluster(clock)
    for chip in (0, 1):
        cluster.chips[chip].on_compute = silence
    cluster.transport.full.add(0)
    with pytest.raises(ClusterError):
        cluster.compute()
    destinations = [destination for _, destination in cluster.transport.sent]
    assert 0 not in destinations and destinations.count(1) > 10


def test_of_many_silent_chips_eight_get_a_retransmission_at_a_time_and_all_in_turn(clock):
    cluster = FakeCluster(clock, 20)
    for chip in cluster.chips:
        chip.on_compute = silence
    with pytest.raises(ClusterError):
        cluster.compute()
    times = [time for time, destination in cluster.transport.sent if destination != BROADCAST]
    assert max(times.count(time) for time in times) == 8
    asked = [destination for _, destination in cluster.transport.sent[1:]]
    assert {asked.count(chip) for chip in range(20)} <= set(range(7, 20))


def test_statistics_are_asked_of_all_with_or_without_collecting(clock):
    cluster = FakeCluster(clock)
    statistics = cluster.coordinator.statistics(collect=True)
    assert [statistics[chip].heap_used for chip in range(3)] == [0, 100, 200]
    assert statistics[2].answers_resent == 207


@pytest.mark.parametrize("key", [b"", KEY])
def test_a_third_of_all_frames_lost_both_ways_costs_only_time(clock, key):
    cluster = FakeCluster(clock, 5, key=key, loss=0.33, seed=3)
    cluster.coordinator.handshake(list(range(5)))
    for _ in range(500):
        try:
            assert cluster.compute() == answers_of(*range(5))
        except NeedsHandshake as need:
            cluster.coordinator.handshake(need.chips)
    assert (clock.now - 1000) / 500 < 0.3


def test_waiting_stays_bounded_where_frames_are_lost_and_doubled(clock):
    cluster = FakeCluster(clock, 5, loss=0.2, duplicate=0.5, seed=4)
    for _ in range(1000):
        before = clock.now
        assert cluster.compute() == answers_of(*range(5))
        assert clock.now - before < 1.5
    assert (clock.now - 1000) / 1000 < 0.2


def acknowledges(message):
    yield LATENCY, message_types.ACK, message.payload


def test_a_step_that_one_chip_missed_is_sent_to_it_as_soon_as_it_says_so(clock):
    cluster = FakeCluster(clock, 2)
    lost = iter([True])

    def misses_the_first(message):
        if next(lost, False):
            yield LATENCY, message_types.ERROR, encode_error(NEED_STEP, 0, 0, "")
        else:
            yield from acknowledges(message)

    cluster.chips[0].on_compute, cluster.chips[1].on_compute = acknowledges, misses_the_first
    begun = clock.now
    assert set(cluster.coordinator.step(REQUEST, [0, 1], "", "step")) == {0, 1}
    assert cluster.coordinator.resends == 1
    assert clock.now - begun < 4 * LATENCY


def test_a_step_is_retransmitted_to_all_at_once_after_a_longer_timeout(clock):
    cluster = FakeCluster(clock, 3)
    begun = clock.now

    def answers_late(message):
        if clock.now > begun + 0.15:
            yield from acknowledges(message)

    for chip in cluster.chips:
        chip.on_compute = answers_late
    assert len(cluster.coordinator.step(REQUEST, [0, 1, 2], "", "step")) == 3
    assert cluster.coordinator.resends == 1


def test_a_step_that_most_have_answered_is_retransmitted_to_the_others_alone(clock):
    cluster = FakeCluster(clock, 5)
    repeated = []

    def answers_the_second(message):
        repeated.append(message.dst)
        if len(repeated) > 2:
            yield from acknowledges(message)

    for chip in cluster.chips:
        chip.on_compute = answers_the_second if chip.chip in (1, 4) else acknowledges
    assert len(cluster.coordinator.step(REQUEST, list(range(5)), "", "step")) == 5
    assert repeated == [BROADCAST, BROADCAST, 1, 4] and cluster.coordinator.resends == 2


@pytest.mark.parametrize("key", [b"", KEY])
@pytest.mark.parametrize(("chips", "seconds"), [(3, 1), (8, 1), (20, 2.5)])
def test_chips_that_are_silent_in_a_step_need_a_handshake_later_each_time(
    clock, chips, seconds, key
):
    cluster = FakeCluster(clock, chips, key=key)
    every = list(range(chips))
    cluster.coordinator.handshake(every)
    for chip in cluster.chips:
        chip.on_compute = silence
    begun = clock.now
    with pytest.raises(NeedsHandshake) as caught:
        cluster.coordinator.step(REQUEST, every, "", "step")
    assert caught.value.chips == every
    assert clock.now - begun == pytest.approx(seconds, abs=0.01)
    request = caught.value.request
    for factor in (2, 4, 4):
        request.handshakes += 1
        begun = clock.now
        with pytest.raises(NeedsHandshake):
            cluster.coordinator.resume(request)
        assert clock.now - begun == pytest.approx(factor * seconds, abs=0.01)


def test_a_request_goes_on_after_a_handshake_with_those_that_have_not_answered(clock):
    cluster = FakeCluster(clock, 3, key=KEY)
    cluster.coordinator.handshake([0, 1, 2])
    cluster.chips[2].on_compute = silence
    with pytest.raises(NeedsHandshake) as caught:
        cluster.compute()
    number = cluster.chips[2].asked[-1].sequence
    cluster.coordinator.handshake([2])
    cluster.chips[2].on_compute = cluster.chips[2].echo
    assert cluster.coordinator.resume(caught.value.request) == answers_of(0, 1, 2)
    assert cluster.chips[2].asked[-1].sequence == number
    assert len(cluster.chips[0].asked) == len(cluster.chips[1].asked) == 1
    assert cluster.compute() == answers_of(0, 1, 2)
    assert cluster.chips[0].asked[-1].sequence == (number + 2) & 0xFFFF  # of none before


def test_a_member_that_others_miss_is_looked_after_by_a_handshake(clock):
    cluster = FakeCluster(clock, 2)
    cluster.chips[1].on_compute = failure(MISSING, "nothing comes from chip 0")
    with pytest.raises(NeedsHandshake):
        cluster.coordinator.step(REQUEST, [0, 1], "", "step")
    assert cluster.coordinator.last_errors == {1: "nothing comes from chip 0"}


def test_a_request_is_retransmitted_after_intervals_that_double_up_to_a_bound(clock):
    cluster = FakeCluster(clock, 2)
    cluster.chips[1].on_compute = silence
    with pytest.raises(ClusterError):
        cluster.compute()
    intervals = np.diff([time for time, _ in cluster.transport.sent])
    # After chip 0's answer, which was progress, the timeout is what that took; then it doubles.
    assert intervals[0] == pytest.approx(0.05, abs=1e-4)
    assert intervals[1:8] == pytest.approx([0.006, 0.012, 0.024, 0.048, 0.096, 0.1, 0.1], abs=2e-3)
    assert max(intervals) == pytest.approx(0.1, abs=1e-4)


def test_second_answers_to_a_request_lengthen_its_timeout(clock):
    cluster = FakeCluster(clock, 2)
    noted = []
    cluster.coordinator._timeouts.of("attention").note_spurious = lambda: noted.append(clock.now)
    cluster.compute()
    cluster.chips[0].delay, cluster.chips[1].delay = 0.06, 0.3
    cluster.compute()
    assert len(noted) == 1
    assert cluster.coordinator._outstanding.duplicate > 0


@pytest.mark.parametrize(("line_seconds", "resends"), [(0.0, 1), (0.04, 0)])
def test_nothing_is_asked_again_while_it_is_on_a_slow_line(clock, line_seconds, resends):
    """At 115,200 baud 500 bytes are on the way for 43 ms, to which a chip adds its work."""
    cluster = FakeCluster(clock, line_seconds=line_seconds)
    for chip in cluster.chips:
        chip.delay = 0.043 + 0.02
    cluster.compute()
    assert bool(cluster.coordinator.resends) == bool(resends)
    assert cluster.coordinator.line_seconds == line_seconds


def test_on_a_lossless_link_slow_answers_lead_to_no_retransmission(clock):
    cluster = FakeCluster(clock, is_lossless=True)
    for chip in cluster.chips:
        chip.delay = 0.9
    assert cluster.compute() == answers_of(0, 1, 2)
    for chip in cluster.chips:
        chip.delay = LATENCY
    for _ in range(60):
        cluster.compute()
    cluster.chips[1].delay = 0.19
    assert cluster.compute() == answers_of(0, 1, 2)
    assert cluster.coordinator.resends == 0 and cluster.coordinator.is_lossless


def test_a_link_that_loses_an_answer_all_the_same_is_lossy_from_then_on(clock):
    cluster = FakeCluster(clock, is_lossless=True)
    lost = iter([True])
    chip = cluster.chips[1]
    chip.on_compute = lambda message: silence(message) if next(lost, 0) else chip.echo(message)
    cluster.compute()
    assert clock.now == pytest.approx(1001, abs=0.01) and cluster.coordinator.resends == 1
    cluster.compute()
    assert not cluster.coordinator.is_lossless


def test_chips_that_are_late_do_not_make_a_link_lossy(clock):
    cluster = FakeCluster(clock, is_lossless=True)
    chip, delays = cluster.chips[1], iter([1.1, 0.101])  # it answers one after the other

    def late(message):
        yield next(delays, LATENCY), message_types.PARTIAL, message.payload + b"\1"

    chip.on_compute = late
    for _ in range(3):
        assert cluster.compute() == answers_of(0, 1, 2)
    assert cluster.coordinator.resends == 1 and cluster.coordinator.is_lossless


def test_a_handshake_does_not_wait_for_chips_that_were_not_there_yet(clock):
    cluster = FakeCluster(clock, is_lossless=True)
    chip, replies = cluster.chips[1], cluster.chips[1].replies
    chip.replies = lambda frame: replies(frame) if clock.now > 1000.04 else iter(())
    cluster.coordinator.handshake([0, 1, 2])
    assert clock.now < 1000.1
    cluster.compute()
    assert cluster.coordinator.is_lossless


@pytest.mark.parametrize("payload", [b"", REQUEST[:7], REQUEST[:7] + b"\1", bytes(20)])
def test_an_answer_that_does_not_name_the_work_and_a_boot_id_is_dropped(clock, payload):
    cluster = FakeCluster(clock, 1)
    sequence = cluster.coordinator._outstanding.sequence + 1 & 0xFFFF
    cluster.says(0, message_types.PARTIAL, payload, sequence, 0.001)
    assert cluster.compute() == answers_of(0)
    assert cluster.dispatcher.dropped == 1


def test_malformed_statistics_are_an_error_of_their_chip(clock):
    cluster = FakeCluster(clock)
    cluster.chips[1].answers = lambda *_: iter([(LATENCY, message_types.STATISTICS, b"short")])
    with pytest.raises(ClusterError, match="^chip 1 sent a malformed answer: STATISTICS payload"):
        cluster.coordinator.statistics()


def test_a_malformed_error_is_dropped(clock):
    cluster = FakeCluster(clock, 1)
    for payload in (b"", b"\1", encode_error(FAULT, 0, 0, "")[:4] + b"\xff"):
        cluster.says(0, message_types.ERROR, payload, 0)
    assert cluster.compute() == answers_of(0)
    assert cluster.dispatcher.dropped == 3 and cluster.coordinator.last_errors == {}


@pytest.mark.parametrize("code", [NEED_KV, NEED_STEP, MISSING])
def test_what_only_work_needs_does_not_answer_anything_else(clock, code):
    cluster = FakeCluster(clock, 2)
    cluster.chips[1].answers = lambda *_: failure(code)(None)
    for ask in (cluster.coordinator.statistics, lambda: cluster.coordinator.handshake([0, 1])):
        with pytest.raises(ClusterError, match="^chip 1 did not answer for 2.5 s"):
            ask()
    assert cluster.dispatcher.dropped > 10
