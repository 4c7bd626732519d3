"""ESP-NOW's frames of 1,470 bytes, and groups in which one chip takes 250 alone, on simulated
chips: each strategy's text is the reference's, with losses and without."""

import pytest

from host.launch import SimulatedChips, open_cluster
from host.parallel.strategies import STRATEGIES
from tests.cover import Cover
from tests.system.conftest import STEPS
from tests.system.federations import HEAP
from tests.system.test_every_mode import greedy_text, name_of

LONG, SHORT, CHIPS, LAYERS = 1470, 250, 4, 5


def assert_same_text(model, runs, strategy, prompts, steps, **settings):
    parallelism = strategy.make_parallelism(LAYERS, CHIPS, None)
    chips = SimulatedChips.alike(
        CHIPS, heap=HEAP, parallelism=parallelism, radio_mtu=LONG, **settings
    )
    with open_cluster(model, chips) as cluster:
        assert cluster.executor.plan.link.mtu == LONG
        assert cluster.transport.mtu == (SHORT if settings.get("shorter") else LONG)
        for prompt in prompts:
            found = greedy_text(cluster.executor, runs[prompt], steps)
            assert found == runs[prompt].tokens[:steps].tolist(), prompt
        assert cluster.executor.recoveries == 0


# Long ones without losses are in test_batches.py.
SLICE = [
    (strategy, at % 2 == 0, {at % CHIPS: SHORT}, 0.05 * (at % 2))
    for at, strategy in enumerate(STRATEGIES)
]


@pytest.mark.parametrize(("strategy", "secure", "shorter", "loss"), SLICE, ids=name_of)
def test_a_slice_of_mixed_groups(model, runs, strategy, secure, shorter, loss):
    assert_same_text(
        model, runs, strategy, [2], 32, signed=secure, shorter=shorter, loss=loss, seed=3
    )


GROUPS = Cover(
    {
        "strategy": STRATEGIES,
        "secure": (False, True),
        "short": ((), (0,), (CHIPS - 1,)),  # the chips with short frames
        "loss": (0.0, 0.2),
        "prompt": range(7),
    },
    whole=("strategy", "short", "loss"),
)


@pytest.mark.verify
@pytest.mark.timeout(600)
@GROUPS.parametrize(ids=lambda value: str(value) if isinstance(value, tuple) else name_of(value))
def test_all_frame_sizes(model, runs, strategy, secure, short, loss, prompt):
    steps = STEPS // 4 if loss else STEPS
    shorter = dict.fromkeys(short, SHORT)
    assert_same_text(
        model, runs, strategy, [prompt], steps, signed=secure, shorter=shorter, loss=loss, seed=3
    )
