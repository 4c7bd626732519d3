"""Frames of 1,470 bytes where all chips' radios take them, of 250 where one does not: the same
text, with every strategy, whoever restarts as what, whatever is lost."""

import pytest

from bench.virtual.model import reference_text, small_model
from host.model.checkpoint import Config
from protocol.frame import HEADER_SIZE, TRAILER_SIZE, TYPE
from protocol.message_types import FRAGMENT
from tests.virtual.clusters import PROMPT, STEPS, STRATEGIES, generate, open_virtual

LONG, SHORT = 1470, 250
# Wide enough that messages of several positions exceed a short frame.
WIDE = Config(
    dim=48, hidden_dim=8, layers=2, heads=4, kv_heads=2, vocab_size=40, context=64
)


@pytest.fixture(scope="module")
def wide():
    model = small_model(WIDE)
    return model, reference_text(model, PROMPT, STEPS)


def watch_air(cluster):
    """How long the frames on the air are, and of which types, from now on."""
    radio, sizes, kinds = cluster.world.radio, [], set()
    transmit = radio.transmit

    def watched(sender, destination, payload):
        sizes.append(len(payload))
        kinds.add(payload[TYPE])
        return transmit(sender, destination, payload)

    radio.transmit = watched
    return sizes, kinds


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_frames_are_as_long_as_all_chips_take(wide, strategy, signed):
    model, text = wide
    with open_virtual(model, strategy, "espnow", signed, mtu=LONG) as cluster:
        sizes, kinds = watch_air(cluster)
        assert generate(cluster) == text
        assert SHORT < max(sizes) <= LONG and FRAGMENT not in kinds
    last = STRATEGIES[strategy][1] - 1
    for short in (0, last):  # the gateway, and another
        mtus = {short: SHORT}
        with open_virtual(model, strategy, "espnow", signed, mtu=LONG, mtus=mtus) as cluster:
            sizes, kinds = watch_air(cluster)
            assert generate(cluster) == text
            assert cluster.executor.plan.link.mtu == LONG
            assert 200 < max(sizes) <= SHORT and FRAGMENT in kinds


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_chip_that_comes_back_with_short_frames_shortens_all(wide, strategy):
    model, text = wide
    signed = strategy in ("chips", "pipeline")
    with open_virtual(model, strategy, "espnow", signed, mtu=LONG, loss=0.1) as cluster:
        sizes, _ = watch_air(cluster)

        def before(position):
            if position == 10:  # as flashed with an older MicroPython
                cluster.world.mtus[1] = SHORT
                cluster.chips[1].restart(50)
            if position == 16:
                sizes.clear()
                cluster.chips[0].restart(50)

        assert generate(cluster, before) == text
        assert max(sizes) <= SHORT
        rooms = {chip.node.outbox.max_payload for chip in cluster.chips}
        assert rooms == {SHORT - HEADER_SIZE - TRAILER_SIZE[3 if signed else 2]}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_thirty_per_cent_of_long_and_of_mixed_frames_lost_change_nothing(wide, strategy):
    model, text = wide
    mtus = {1: SHORT} if strategy in ("chips", "hybrid") else {}
    with open_virtual(
        model, strategy, "espnow", True, mtu=LONG, mtus=mtus, loss=0.3, seed=2
    ) as cluster:
        assert generate(cluster) == text

