"""How long the coordinator waits for answers before it asks again."""

import pytest

from host.cluster.coordinator import _FIRST_WAIT, _LONGEST_WAIT
from host.cluster.timeout import Pace


def test_pace_waits_for_the_mean_and_four_deviations():
    pace = Pace(_FIRST_WAIT, _LONGEST_WAIT)
    assert pace.wait == 0.05
    for _ in range(60):
        pace.learn(0.02)
    assert pace.wait == pytest.approx(0.02, rel=0.01)
    assert pace.longest_wait == 0.1
    for _ in range(60):
        pace.learn(0.0001)
    assert pace.wait == pytest.approx(0.006)
    for _ in range(200):
        pace.learn(0.3)
        pace.learn(0.1)
    assert 0.4 < pace.wait < 0.8
    assert pace.longest_wait == pace.wait


def test_pace_waits_longer_after_haste_and_forgets_it_again():
    pace = Pace(_FIRST_WAIT, _LONGEST_WAIT)
    for _ in range(60):
        pace.learn(0.02)
    calm = pace.wait
    pace.was_hasty()
    pace.was_hasty()
    hasty = pace.wait
    assert hasty > 1.2 * calm
    for _ in range(60):
        pace.learn(0.02)
    assert pace.wait == pytest.approx(calm, rel=0.01)
