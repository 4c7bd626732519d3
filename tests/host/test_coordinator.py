"""Requests and answers: who is asked, what counts as an answer, errors, fragments, timeouts."""

import pytest

from host.cluster.request import NeedsCache
from host.errors import ClusterError
from protocol import message_types
from protocol.frame import BROADCAST
from protocol.messages import BAD_REQUEST, FAULT, MISSING, NEED_KV, NEED_STEP, encode_error
from tests.host.fake_chips import LATENCY, failure, silence
from tests.host.fake_cluster import REQUEST, FakeCluster, answers_of


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


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("work", ["compute", "step"])
@pytest.mark.parametrize("died", [0.0, 0.3, 0.9])
def test_a_dead_chip_is_seen_within_150_ms_of_its_answer_or_of_its_death(
    clock, lossless, work, died
):
    """However long it is until the request would be retransmitted: a second at first, on a link
    that loses nothing."""
    started, answered = clock.now, 0.1

    def watch():
        if clock.now >= started + died:
            raise ClusterError("chip 0 died: signal SIGKILL")

    cluster = FakeCluster(clock, watch=watch, is_lossless=lossless)
    cluster.chips[0].on_compute = silence
    for chip in cluster.chips[1:]:
        chip.delay = answered
    ask = getattr(cluster.coordinator, work)
    with pytest.raises(ClusterError, match="chip 0 died: signal SIGKILL"):
        ask(REQUEST, [0, 1, 2], "layer 2, position 7", "attention")
    assert clock.now - started <= max(died, answered) + 0.15


def test_statistics_are_asked_of_all_with_or_without_collecting(clock):
    cluster = FakeCluster(clock)
    statistics = cluster.coordinator.statistics(collect=True)
    assert [statistics[chip].heap_used for chip in range(3)] == [0, 100, 200]
    assert statistics[2].answers_resent == 207


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
