"""The handshake: READY, keys, restarts in the middle of it."""

import pytest

from host.cluster.request import NeedsHandshake
from host.errors import ClusterError
from protocol import message_types
from protocol.messages import STATE_ASKS_PROOF
from tests.host.fake_chips import LATENCY, FakeChip, ready
from tests.host.fake_cluster import KEY, FakeCluster, answers_of


def test_the_handshake_reports_each_chip_and_calls_on_ready(clock):
    cluster = FakeCluster(clock)
    called = []
    ready = cluster.coordinator.handshake([0, 1, 2], on_ready=called.append)
    assert cluster.coordinator.boot_ids == {chip.chip: chip.boot_id for chip in cluster.chips}
    assert {chip: of_one.boot_id for chip, of_one in ready.items()} == cluster.coordinator.boot_ids
    assert sorted(called) == [0, 1, 2]


def test_a_ready_of_another_version_is_an_error_of_that_chip(clock):
    cluster = FakeCluster(clock)
    cluster.chips[1].answers = lambda *_: iter([(LATENCY, message_types.READY, b"short")])
    with pytest.raises(ClusterError, match="^chip 1 speaks another protocol version: READY"):
        cluster.coordinator.handshake([0, 1, 2])


def test_a_session_with_a_key_computes(clock):
    cluster = FakeCluster(clock, key=KEY)
    cluster.coordinator.handshake([0, 1, 2])
    assert cluster.compute() == answers_of(0, 1, 2)


@pytest.mark.parametrize(("theirs", "ours"), [(b"x" * 32, KEY), (KEY, b""), (b"", KEY)])
def test_chips_with_another_key_or_none_stay_silent(clock, theirs, ours):
    cluster = FakeCluster(clock, 2, key=ours)
    cluster.chips[1] = cluster.transport.chips[1] = FakeChip(1, key=theirs)
    with pytest.raises(ClusterError, match=r"^chip 1 did not answer for 2.5 s \(at the start\)"):
        cluster.coordinator.handshake([0, 1])


def test_a_restarted_chip_needs_a_handshake_and_gets_all_a_new_session(clock):
    cluster = FakeCluster(clock, key=KEY)
    cluster.coordinator.handshake([0, 1, 2])
    session = cluster.signer.announcement()
    cluster.chips[1].restart()
    with pytest.raises(NeedsHandshake) as caught:
        cluster.compute()
    assert caught.value.chips == [1]
    assert 1000.6 <= clock.now < 1000.8  # a quarter of the timeout
    ready = cluster.coordinator.handshake(caught.value.chips)
    assert set(ready) == {0, 1, 2}
    assert cluster.signer.announcement() != session
    assert cluster.compute() == answers_of(0, 1, 2)
    assert cluster.coordinator.boot_ids[1] == cluster.chips[1].boot_id


def test_a_chip_that_restarts_during_its_handshake_does_not_reject_the_key(clock):
    cluster = FakeCluster(clock, key=KEY)
    chip, handshakes = cluster.chips[1], []
    replies = chip.replies

    def restarting(frame):
        handshakes.append(frame)
        if len(handshakes) == 2:  # which has the proof
            chip.restart()
        return replies(frame)

    chip.replies = restarting
    ready = cluster.coordinator.handshake([0, 1, 2])
    assert len(handshakes) > 2 and ready[1].boot_id == chip.boot_id
    assert cluster.compute() == answers_of(0, 1, 2)


def test_a_silent_chip_that_did_not_restart_stays_in_the_session(clock):
    cluster = FakeCluster(clock, key=KEY)
    cluster.coordinator.handshake([0, 1, 2])
    session = cluster.signer.announcement()
    assert set(cluster.coordinator.handshake([2])) == {2}
    assert cluster.signer.announcement() == session


def test_a_handshake_that_times_out_says_where_it_was_needed(clock):
    cluster = FakeCluster(clock)
    cluster.chips[1].answers = lambda *_: iter(())
    with pytest.raises(ClusterError) as caught:
        cluster.coordinator.handshake([1], where="vocabulary, position 3")
    assert str(caught.value) == "chip 1 did not answer for 2.5 s (vocabulary, position 3)"


def test_a_chip_that_restarts_in_every_handshake_is_given_up(clock):
    cluster = FakeCluster(clock, key=KEY)
    chip, replies = cluster.chips[1], cluster.chips[1].replies

    def restarting(frame):
        if frame[1] == message_types.DISCOVERY:
            chip.restart()
        return replies(frame)

    chip.replies = restarting
    with pytest.raises(ClusterError) as caught:
        cluster.coordinator.handshake([0, 1, 2], where="position 3")
    assert str(caught.value) == "chip 1 keeps restarting during its handshake (position 3)"


def test_a_chip_that_is_taken_in_again_is_ready_once(clock):
    cluster = FakeCluster(clock, key=KEY)
    cluster.coordinator.handshake([0, 1, 2])
    cluster.chips[1].restart()
    ready = []
    cluster.coordinator.handshake([1], on_ready=ready.append)
    assert sorted(ready) == [0, 1, 2]


def test_without_a_key_a_chip_that_asks_for_proof_requires_it(clock):
    cluster = FakeCluster(clock)
    asks = LATENCY, message_types.READY, ready(7, STATE_ASKS_PROOF)
    cluster.chips[1].answers = lambda *_: iter([asks])
    with pytest.raises(ClusterError, match="^chip 1 requires the cluster key$"):
        cluster.coordinator.handshake([0, 1, 2])


@pytest.mark.parametrize("key", [b"", KEY])
def test_chips_are_told_of_the_shortest_frames_among_them(clock, key):
    cluster = FakeCluster(clock, key=key)
    mtus = [chip.mtus for chip in cluster.chips]
    for chip, longest in zip(cluster.chips, (1470, 250, 1470), strict=True):
        chip.longest = longest
    cluster.coordinator.handshake([0, 1, 2])
    assert mtus == [[250]] * 3 and cluster.transport.mtu == 250  # to all, as most need it
    cluster.coordinator.handshake([0, 1])  # nobody new, and chip 0 may have forgotten it
    assert mtus == [[250, 250], [250], [250]]


@pytest.mark.parametrize("key", [b"", KEY])
def test_chips_that_take_frames_of_one_length_are_told_nothing(clock, key):
    cluster = FakeCluster(clock, key=key)
    for chip in cluster.chips:
        chip.longest = 1470
    cluster.coordinator.handshake([0, 1, 2])
    assert [chip.mtus for chip in cluster.chips] == [[]] * 3 and cluster.transport.mtu == 1470
    cluster.chips[2].longest = 250  # it was flashed with an older MicroPython
    cluster.coordinator.handshake([2])
    assert [chip.mtus for chip in cluster.chips] == [[250]] * 3
    assert cluster.transport.mtu == 250


@pytest.mark.parametrize("key", [b"", KEY])
def test_a_chip_that_restarts_while_it_is_told_is_taken_in_again(clock, key):
    cluster = FakeCluster(clock, key=key)
    chip = cluster.chips[0]
    cluster.chips[1].longest = 250
    answers, counted = chip.answers, []

    def restarting(message, frame, length):
        counted.append(len(message.payload))
        if len(message.payload) == 18 and counted.count(18) == 1:
            chip.restart()
            return iter(())
        return answers(message, frame, length)

    chip.answers = restarting
    ready = cluster.coordinator.handshake([0, 1, 2])
    assert chip.mtus[-1] == 250
    assert cluster.coordinator.boot_ids[0] == chip.boot_id == ready[0].boot_id
