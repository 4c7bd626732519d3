"""A radio whose driver takes no frame any more (ESP_ERR_ESPNOW_NO_MEM): the chip restarts it and
says so, or the host names it."""

import pytest

from host.errors import ClusterError
from tests.virtual.clusters import STRATEGIES, generate, open_virtual

REPORT = "[Errno -12391] ESP_ERR_ESPNOW_NO_MEM: its radio was restarted"


def fail_at(cluster, position, chip, for_good=False):
    def before(at):
        if at == position:
            cluster.chips[chip].fails_for_good = for_good
            cluster.chips[chip].esp.fails = True

    return before


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("chip", [0, 1])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_radio_that_fails_is_restarted_and_reported(model, text, strategy, chip, signed):
    with open_virtual(model, strategy, "espnow", signed, timeout=15.0) as cluster:
        assert generate(cluster, fail_at(cluster, 9, chip)) == text
        assert cluster.chips[chip].radio_restarts == 1
        assert cluster.coordinator.last_errors == {chip: REPORT}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_gateway_whose_radio_fails_for_good_is_named(model, strategy):
    named = r"^chips? .* did not answer for .*; the radio of the gateway, chip 0, fails: .*_NO_MEM"
    with (
        open_virtual(model, strategy, "espnow") as cluster,
        pytest.raises(ClusterError, match=named),
    ):
        generate(cluster, fail_at(cluster, 9, 0, for_good=True))


def test_frames_that_find_no_room_for_a_moment_are_lost_like_others(model, text):
    with open_virtual(model, "chips", "espnow") as cluster:

        def before(position):
            if position % 5 == 0:
                cluster.chips[1].esp.fails = True
                cluster.world.later(100, lambda: setattr(cluster.chips[1].esp, "fails", False))

        assert generate(cluster, before) == text
        assert cluster.chips[1].radio_restarts == 0
