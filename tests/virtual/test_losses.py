"""Lost frames: the same text, with every strategy, on every link."""

import pytest

from tests.virtual.clusters import LINKS, STRATEGIES, generate, open_virtual


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_thirty_per_cent_of_frames_lost_change_nothing(model, text, strategy, link, signed):
    with open_virtual(model, strategy, link, signed, loss=0.3, seed=2) as cluster:
        began = cluster.world.seconds()
        assert generate(cluster) == text
        assert cluster.world.seconds() - began < 2.0 * len(text)
