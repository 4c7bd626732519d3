"""Chips that restart in the middle of a text: it stays the same, whatever the strategy and link,
with a key and without, however long a chip takes to start and however often it does."""

import pytest

from firmware.roles import all_reduce
from host.cluster.silence import STEP_HANDSHAKE_AFTER
from host.errors import ClusterError
from tests.virtual.clusters import LINKS, STRATEGIES, generate, open_virtual

TIMEOUT = 15.0  # seconds that boards have to answer


def restart_at(cluster, position, chip, *milliseconds):
    """What restarts a chip as a position begins, ready after so long; and again for each time
    that follows, 60 ms later."""

    def before(at):
        if at == position:
            for number, ready in enumerate(milliseconds):
                cluster.world.later(
                    60 * number, lambda ready=ready: cluster.chips[chip].restart(ready)
                )

    return before


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_restart_changes_nothing(model, text, strategy, link, signed):
    for chip, ready in ((0, 50), (1, 4_700))[:1 + signed]:  # milliseconds until it is loaded
        with open_virtual(model, strategy, link, signed, seed=chip, timeout=TIMEOUT) as cluster:
            assert generate(cluster, restart_at(cluster, 12 + chip, chip, ready)) == text
            assert cluster.chips[chip].restarts == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nor_do_two_of_the_same_chip_in_quick_succession(model, text, strategy):
    with open_virtual(model, strategy, "espnow", signed=True) as cluster:
        assert generate(cluster, restart_at(cluster, 9, 1, 50, 50, 90)) == text
        assert cluster.chips[1].restarts == 3


def test_nor_does_a_restart_while_an_answer_is_on_its_way(model, text):
    """All runs again while nothing is awaited, and more tokens follow."""
    for late in range(0, 12, 2):
        with open_virtual(model, "pipeline", "espnow", timeout=TIMEOUT) as cluster:

            def before(position, cluster=cluster, late=late):
                if position == 8:
                    cluster.world.later(late, lambda: cluster.chips[0].restart(2_400))

            assert generate(cluster, before) == text


@pytest.mark.parametrize("strategy", ["chips", "hybrid"])
def test_a_chip_that_was_stopped_between_two_requests_misses_nobody(model, text, strategy):
    reports = []
    with open_virtual(model, strategy, "uart") as cluster:

        def before(position):
            if position == 10:  # for longer than any timeout of its own
                cluster.chips[1].is_hung = True
                cluster.world.later(400, lambda: setattr(cluster.chips[1], "is_hung", False))
                for chip in cluster.chips:
                    chip.node.role._group._ticked -= 60_000

        assert generate(cluster, before) == text
        reports = cluster.coordinator.last_errors
    assert reports == {}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_chip_that_stays_away_is_named(model, strategy, signed):
    with open_virtual(model, strategy, "uart", signed) as cluster:

        def before(position):
            if position == 8:
                cluster.chips[1].stop()

        with pytest.raises(ClusterError, match=r"^chip 1 did not answer for 2\.5 s"):
            generate(cluster, before)
        assert cluster.world.seconds() < 7


def test_members_are_looked_after_by_the_host_before_they_miss_each_other():
    assert all_reduce._TIMEOUT_MS > 1000 * (2 * STEP_HANDSHAKE_AFTER + 2.5)
