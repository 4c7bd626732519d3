"""Lost frames: the same text, with every strategy, on every link."""

import itertools

import pytest

from host.errors import ClusterError
from tests.virtual.clusters import LINKS, STRATEGIES, generate, open_virtual


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_thirty_per_cent_of_frames_lost_change_nothing(model, text, strategy, link, signed):
    with open_virtual(model, strategy, link, signed, loss=0.3, seed=2) as cluster:
        began = cluster.world.seconds()
        assert generate(cluster) == text
        assert cluster.world.seconds() - began < 2.0 * len(text)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_second_frame_of_a_chip_lost_ends_in_time_one_way_or_the_other(
    model, text, strategy
):
    with open_virtual(model, strategy, "uart", signed=True) as cluster:
        for first in (0, 1):
            count = itertools.count(first)
            cluster.transport.is_lost = lambda chip, _, count=count: (
                chip == 1 and next(count) % 2 == 0
            )
            began = cluster.world.seconds()
            try:
                assert generate(cluster) == text
            except ClusterError as error:
                assert "chip" in str(error)
            assert cluster.world.seconds() - began < 120


@pytest.mark.parametrize("strategy", ["host", "chips", "pipeline"])
def test_a_chip_that_restarts_again_and_again_is_given_up(model, strategy):
    with open_virtual(model, strategy, "uart", signed=True) as cluster:

        def before(position):
            if cluster.chips[1].restarts == position - 4:  # as often as a token is completed
                cluster.chips[1].restart(20)

        with pytest.raises(ClusterError, match="^chip 1 "):
            cluster.generate([1, 5, 9], 60, before)
        assert 10 < cluster.chips[1].restarts < 30
