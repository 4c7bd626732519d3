"""When a request is retransmitted, and to whom: lost frames, slow lines, steps, handshakes."""

import numpy as np
import pytest

from host.cluster.request import NeedsHandshake
from host.errors import ClusterError
from protocol import message_types
from protocol.frame import BROADCAST
from protocol.messages import MISSING, NEED_STEP, encode_error
from tests.host.fake_chips import LATENCY, failure, silence
from tests.host.fake_cluster import KEY, REQUEST, FakeCluster, answers_of


def test_only_the_chip_whose_answer_is_missing_gets_a_retransmission(clock):
    cluster = FakeCluster(clock)
    lost = iter([True, True, False])
    chip = cluster.chips[1]
    chip.on_compute = lambda message: silence(message) if next(lost) else chip.echo(message)
    assert cluster.compute() == answers_of(0, 1, 2)
    assert [destination for _, destination in cluster.transport.sent] == [BROADCAST, 1, 1]
    assert cluster.coordinator.resends == 2
    assert len({message.sequence for message in chip.asked}) == 1


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
