"""How long the host waits for answers before it retransmits a request."""

import pytest

from host.cluster.timeout import LOSSLESS, LOSSY, RetransmitTimeout, RetransmitTimeouts


def test_the_timeout_is_the_mean_and_four_deviations():
    timeout = RetransmitTimeout(LOSSY)
    assert timeout.seconds == 0.05
    for _ in range(60):
        timeout.measure(0.02)
    assert timeout.seconds == pytest.approx(0.02, rel=0.01)
    assert timeout.longest == 0.1
    for _ in range(60):
        timeout.measure(0.0001)
    assert timeout.seconds == pytest.approx(0.006)
    for _ in range(200):
        timeout.measure(0.3)
        timeout.measure(0.1)
    assert 0.4 < timeout.seconds < 0.8
    assert timeout.longest == timeout.seconds


def test_the_first_round_trip_counts_half_as_deviation():
    """As RFC 6298, section 2.2: SRTT + 4 * SRTT / 2, after that a step of a quarter."""
    timeout = RetransmitTimeout(LOSSY)
    timeout.measure(0.1)
    assert timeout.seconds == pytest.approx(0.1 + 4 * (0.05 - 0.05 / 4))


def test_spurious_retransmissions_lengthen_the_timeout_for_a_while():
    timeout = RetransmitTimeout(LOSSY)
    for _ in range(60):
        timeout.measure(0.02)
    calm = timeout.seconds
    timeout.note_spurious()
    timeout.note_spurious()
    lengthened = timeout.seconds
    assert lengthened > 1.2 * calm
    for _ in range(99):
        timeout.note_spurious()
    assert timeout.seconds == pytest.approx(0.02 + 4 * 0.1 / 4, rel=0.01)
    for _ in range(60):
        timeout.measure(0.02)
    assert timeout.seconds == pytest.approx(calm, rel=0.01)


def test_a_lossless_link_has_a_second_at_first_and_then_a_minimum():
    timeout = RetransmitTimeouts(is_lossless=True).of("attention")
    assert timeout.seconds == timeout.longest == 1.0
    for _ in range(60):
        timeout.measure(0.001)
    assert timeout.seconds == 0.2


def test_kinds_of_requests_have_timeouts_of_their_own_and_longer_ones_if_they_take_longer():
    timeouts = RetransmitTimeouts()
    timeouts.of("attention").measure(0.001)
    assert timeouts.of("attention").seconds == 0.006
    assert timeouts.of("step", 4).seconds == 4 * LOSSY.initial
    assert timeouts.of("step", 4).longest == 4 * LOSSY.longest


@pytest.mark.parametrize("is_lossless", [False, True])
def test_first_timeouts_have_the_time_that_frames_are_on_the_line(is_lossless):
    bounds = LOSSLESS if is_lossless else LOSSY
    timeouts = RetransmitTimeouts(is_lossless, line_seconds=0.2)
    assert timeouts.of("attention").seconds == bounds.initial + 0.2
    assert timeouts.of("attention").longest == bounds.longest + 0.2
    for _ in range(60):
        timeouts.of("attention").measure(0.001)
    assert timeouts.of("attention").seconds == bounds.shortest


@pytest.mark.parametrize(
    ("requests", "is_lossless"),
    [
        # (was retransmitted, answers too many before and after it)
        ([(False, 0, 0)] * 3, True),
        ([(True, 0, 1), (False, 1, 1)], True),  # both answers came at once
        ([(True, 0, 0), (False, 0, 1)], True),  # the second came with the next request
        ([(True, 0, 0)], True),  # it may still come
        ([(True, 0, 0), (False, 0, 0)], False),
        ([(True, 2, 2), (True, 2, 2)], False),
        ([(True, 0, 1), (True, 1, 1), (False, 1, 2)], True),
    ],
)
def test_a_link_is_lossless_until_a_retransmission_was_necessary(requests, is_lossless):
    timeouts = RetransmitTimeouts(is_lossless=True)
    timeout = timeouts.of("step", 4)
    for request in requests:
        timeouts.note_answered(*request)
    assert timeouts.is_lossless == is_lossless
    bounds = (LOSSLESS if is_lossless else LOSSY).scaled(4)
    assert timeout.bounds == timeouts.of("other", 4).bounds == bounds


def test_a_lossy_link_stays_lossy():
    timeouts = RetransmitTimeouts()
    for _ in range(5):
        timeouts.note_answered(True, 0, 1)
        timeouts.note_answered(False, 1, 1)
    assert not timeouts.is_lossless
