"""How long the coordinator waits for answers before it asks again."""

import pytest

from host.cluster.timeout import LOSSY, RetransmitTimeout


def test_pace_waits_for_the_mean_and_four_deviations():
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


def test_pace_waits_longer_after_haste_and_forgets_it_again():
    timeout = RetransmitTimeout(LOSSY)
    for _ in range(60):
        timeout.measure(0.02)
    calm = timeout.seconds
    timeout.note_spurious()
    timeout.note_spurious()
    hasty = timeout.seconds
    assert hasty > 1.2 * calm
    for _ in range(60):
        timeout.measure(0.02)
    assert timeout.seconds == pytest.approx(calm, rel=0.01)
