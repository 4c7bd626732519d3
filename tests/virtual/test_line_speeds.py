"""Serial lines that go faster: as fast as all carry, verified; as they began where a chip
restarts, where a host comes back, where nothing faster is carried. The text is the same."""

import pytest

from bench.virtual.cluster import BAUD
from host.cluster.line_speed import FAST_BAUDS, raise_speeds, restore_speeds, speeds_to_try
from tests.virtual.clusters import LINKS, STRATEGIES, generate, open_virtual

FASTEST, SECOND = FAST_BAUDS


def raised(cluster, speeds=FAST_BAUDS):
    return raise_speeds(cluster.coordinator, cluster.transport, BAUD, speeds)


def speeds_of(cluster):
    """Of both ends of all lines."""
    lines = cluster.transport.first_chips()
    return {
        *(cluster.transport.bauds.get(chip, BAUD) for chip in lines),
        *(cluster.chips[chip].uart.baud for chip in lines),
    }


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_lines_are_as_fast_as_they_can_be(model, text, strategy, link, signed):
    with open_virtual(model, strategy, link, signed) as cluster:
        assert raised(cluster) == FASTEST and speeds_of(cluster) == {FASTEST}
        assert generate(cluster) == text
        restore_speeds(cluster.coordinator, cluster.transport, BAUD)
        assert speeds_of(cluster) == {BAUD}
        assert generate(cluster) == text


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize(
    ("carried", "reached"),
    [
        ({1: SECOND}, SECOND),
        ({0: SECOND, 1: SECOND, 2: SECOND}, SECOND),
        ({0: BAUD}, BAUD),
        ({0: BAUD, 1: BAUD, 2: SECOND}, BAUD),
    ],
)
def test_all_are_as_fast_as_the_slowest(model, text, carried, reached, signed):
    with open_virtual(model, "host", "uart", signed, timeout=15.0) as cluster:
        cluster.transport.carried = carried
        assert raised(cluster) == reached and speeds_of(cluster) == {reached}
        assert generate(cluster) == text
        assert not cluster.executor.recoveries


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize(
    ("strategy", "link"),
    [("host", "uart"), ("chips", "uart"), ("host", "espnow"), ("pipeline", "espnow")],
)
def test_a_chip_that_restarts_is_spoken_to_as_it_began(model, text, strategy, link, signed):
    with open_virtual(model, strategy, link, signed, timeout=15.0) as cluster:
        raised(cluster)

        def before(position):
            if position == 10:
                cluster.chips[0].restart(50)

        assert generate(cluster, before) == text
        assert cluster.transport.bauds.get(0, BAUD) == cluster.chips[0].uart.baud == BAUD
        if link == "uart":
            assert cluster.chips[1].uart.baud == FASTEST


@pytest.mark.parametrize("link", LINKS)
def test_a_host_that_comes_back_is_understood(model, link):
    """One that ended without a word left chips at a speed that the next knows nothing of."""
    with open_virtual(model, "host", link, True) as cluster:
        raised(cluster)
        cluster.transport.bauds.clear()
        cluster.coordinator.rekey()
        cluster.coordinator.handshake(cluster.coordinator.chips, 8.0)
        assert speeds_of(cluster) == {BAUD}


def test_what_was_found_before_bounds_what_is_tried():
    assert speeds_to_try(BAUD, None) == list(FAST_BAUDS)
    assert speeds_to_try(BAUD, SECOND) == [SECOND]
    assert speeds_to_try(BAUD, BAUD) == []
    assert speeds_to_try(SECOND, None) == [FASTEST] and speeds_to_try(FASTEST, None) == []
