"""A session whose counters run out is replaced between two sequences, and nobody notices."""

import pytest

from host.launch import open_cluster
from protocol.auth import LAST_COUNTER
from tests.system.federations import settings
from tests.system.reference_runs import assert_equals_reference

STEPS = 20
HALF = LAST_COUNTER // 2


def use_half(signer, source):
    """As after many days: `source`, a chip or None for the host, has used half of its counters."""
    if source is None:
        signer.session._highest[-1] = HALF + 1
    else:
        signer.session._highest[source] = HALF + 1


HOST, CHIPS, PIPELINE = {}, {"reduce": "chips"}, {"stages": 5}


@pytest.mark.parametrize(
    ("mode", "source"),
    [
        (HOST, 3),
        (CHIPS, None),
        (PIPELINE, 3),
        pytest.param(HOST, None, marks=pytest.mark.verify),
        pytest.param(CHIPS, 3, marks=pytest.mark.verify),
        pytest.param(PIPELINE, None, marks=pytest.mark.verify),
    ],
)
def test_another_session_begins_with_the_next_sequence(model, runs, mode, source):
    with open_cluster(model, settings(5, "espnow", 0.0, True, **mode)) as cluster:
        signer = cluster.coordinator.dispatcher.signer
        first = signer.announcement()
        assert_equals_reference(cluster.executor, runs[0], STEPS)
        use_half(signer, source)
        assert signer.announcement() == first
        assert_equals_reference(cluster.executor, runs[1], STEPS)
        second = signer.announcement()
        assert second != first
        assert max(signer.session._highest) < HALF
        assert_equals_reference(cluster.executor, runs[2], STEPS)
        assert signer.announcement() == second
        assert cluster.executor.recoveries == 0


def test_a_sequence_keeps_the_session_in_which_it_began(model, runs):
    with open_cluster(model, settings(2, "uart", 0.0, True)) as cluster:
        signer = cluster.coordinator.dispatcher.signer
        first = signer.announcement()

        def in_the_middle(position):
            if position == STEPS // 2:
                use_half(signer, None)

        assert_equals_reference(cluster.executor, runs[1], STEPS, in_the_middle)
        assert signer.announcement() == first and cluster.executor.recoveries == 0
