"""Chips that add up their partial sums themselves equal the reference to the bit, as others do.

The default run takes a slice; `verify` takes 1 to 8 and 20 chips on both links: for 128 steps,
with losses for 32, but of 20 chips 16.
"""

import os
import signal

import numpy as np
import pytest

from host.errors import ClusterError
from host.launch import open_cluster
from tests.cover import Cover
from tests.system.conftest import STEPS
from tests.system.federations import assert_prompts_equal, settings
from tests.system.reference_runs import assert_equals_reference

PROMPTS = range(7)
CHIPS, LINKS = (1, 2, 3, 4, 5, 6, 7, 8, 20), ("uart", "espnow")
# With 20 chips a position takes a processor six times as long as with 5: two prompts must do.
CLUSTERS = Cover(
    {"chips": CHIPS, "link": LINKS, "prompt": PROMPTS},
    is_allowed=lambda row: row[0] < 20 or row[2] < 2,
)
LOSSY = Cover({"chips": CHIPS, "link": LINKS, "secure": (False, True)})
MINUTES_AN_ITEM = 10


def combining(*arguments):
    """How to simulate chips that combine."""
    return settings(*arguments, reduce="chips")


@pytest.mark.parametrize(
    ("chips", "link", "loss", "secure", "prompts", "steps"),
    [
        (5, "espnow", 0.0, False, PROMPTS[:2], 32),
        (5, "uart", 0.0, False, PROMPTS[2:4], 32),
        pytest.param(1, "espnow", 0.0, False, PROMPTS[4:5], 32, marks=pytest.mark.verify),
        (3, "uart", 0.0, True, PROMPTS[5:6], 32),
        (8, "espnow", 0.0, True, PROMPTS[6:7], 16),
        pytest.param(20, "uart", 0.0, False, PROMPTS[6:7], 12, marks=pytest.mark.verify),
        (3, "espnow", 0.2, False, PROMPTS[5:6], 10),
        (2, "uart", 0.2, True, PROMPTS[6:7], 12),
    ],
)
def test_a_slice_of_the_matrix(model, runs, chips, link, loss, secure, prompts, steps):
    assert_prompts_equal(model, runs, prompts, steps, combining(chips, link, loss, secure))


def test_the_chips_best_tokens_are_the_greedy_ones(model, runs):
    with open_cluster(model, combining(5, "espnow")) as cluster:
        executor = cluster.executor
        executor.greedy = True
        executor.begin()
        tokens = runs[1].tokens[: runs[1].prompt].tolist()
        logits = executor.forward(tokens)
        before = cluster.transport.bytes_sent + cluster.transport.bytes_received
        for position in range(runs[1].prompt, 32):
            assert np.count_nonzero(logits >= -(1 << 15)) == 10  # two of each chip
            assert logits.max() == runs[1].logits[position - 1].max()
            tokens.append(int(logits.argmax()))
            logits = executor.forward(tokens[-1:])
        exchanged = cluster.transport.bytes_sent + cluster.transport.bytes_received - before
    assert tokens == runs[1].tokens[:32].tolist()
    # A step and five answers of 25 bytes, and what had to be repeated.
    assert exchanged / (32 - runs[1].prompt) < 500


@pytest.mark.parametrize("link", ["uart", "espnow"])
def test_a_chip_that_restarts_is_replayed(model, runs, link):
    with open_cluster(model, combining(3, link)) as cluster:

        def restart(position):
            if position == 20:
                cluster.simulation.chips[1].restart()

        assert_equals_reference(cluster.executor, runs[2], 32, restart)
        assert cluster.executor.recoveries >= 1


@pytest.mark.verify  # for every strategy, tests/virtual/test_restarts.py shows it in virtual time
@pytest.mark.parametrize("link", ["uart", "espnow"])
def test_a_chip_that_hangs_is_named(model, runs, link):
    with open_cluster(model, combining(4, link)) as cluster:

        def hang(position):
            if position == 20:
                os.kill(cluster.simulation.chips[2].process.pid, signal.SIGSTOP)

        with pytest.raises(ClusterError, match=r"^chip 2 did not answer for .* \(position 20\)$"):
            assert_equals_reference(cluster.executor, runs[2], 32, hang)


@pytest.mark.verify
@pytest.mark.timeout(60 * MINUTES_AN_ITEM)
@CLUSTERS.parametrize()
def test_without_loss(model, runs, chips, link, prompt):
    assert_prompts_equal(model, runs, [prompt], STEPS, combining(chips, link))


@pytest.mark.verify
@pytest.mark.timeout(60 * MINUTES_AN_ITEM)
@LOSSY.parametrize()
def test_with_a_fifth_of_all_frames_lost(model, runs, chips, link, secure):
    prompt = PROMPTS[(chips + secure) % 7]
    steps = STEPS // 4 if chips < 20 else 16  # each of whose 380 ways loses a frame in five
    assert_prompts_equal(model, runs, [prompt], steps, combining(chips, link, 0.2, secure))
