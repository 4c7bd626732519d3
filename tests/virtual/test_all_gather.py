"""Chips that exchange activations in place of partial sums, in virtual time: with losses, restarts
and frames of all lengths the text is the reference's."""

import pytest

from bench.virtual.model import reference_text
from tests.virtual.clusters import LINKS, PROMPT, STEPS, generate, open_virtual

VERIFY = pytest.mark.verify


@pytest.fixture(scope="module")
def expected(model):
    return reference_text(model, PROMPT, STEPS)


@pytest.mark.parametrize(
    ("link", "signed"),
    [("espnow", True), pytest.param("uart", True, marks=VERIFY), ("uart", False),
     pytest.param("espnow", False, marks=VERIFY)],
)  # fmt: skip
def test_losses_do_not_change_the_text(model, expected, link, signed):
    with open_virtual(model, "gather", link, signed, loss=0.2, seed=2) as cluster:
        assert generate(cluster) == expected
        repairs = [chip.node.role._collective.repairs for chip in cluster.chips]
    assert sum(repairs) > 0


@pytest.mark.parametrize("link", [LINKS[0], pytest.param(LINKS[1], marks=VERIFY)])
def test_a_chip_that_restarts_gets_its_cache_back(model, expected, link):
    def restart(position):
        if position in (7, 15):
            cluster.chips[position % 3].restart(20)

    with open_virtual(model, "gather", link, True) as cluster:
        assert generate(cluster, restart) == expected
        assert cluster.executor.recoveries > 0


@pytest.mark.parametrize("mtus", [{}, {2: 250}], ids=str)
def test_frames_may_be_long_and_some_chips_take_short_ones(model, expected, mtus):
    with open_virtual(model, "gather", "espnow", True, mtu=1470, mtus=mtus) as cluster:
        assert generate(cluster) == expected
