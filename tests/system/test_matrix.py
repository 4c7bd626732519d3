"""Federations equal the reference, tokens and logits, to the bit: any number of chips, any link.

The default run takes a slice; `verify` runs every cluster for 128 steps, with all prompts on every
number of chips and every link, and with losses for half as many steps.
"""

import pytest

from tests.cover import Cover
from tests.system.conftest import STEPS
from tests.system.federations import assert_prompts_equal, settings

PROMPTS = range(7)
SETTINGS = {"chips": (1, 2, 5, 8, 20), "link": ("uart", "espnow"), "secure": (False, True)}
CLUSTERS = Cover({**SETTINGS, "prompt": PROMPTS}, whole=tuple(SETTINGS))
LOSSY = Cover(SETTINGS, whole=tuple(SETTINGS))
MINUTES_AN_ITEM = 10


@pytest.mark.parametrize(
    ("chips", "link", "loss", "secure", "prompts", "steps"),
    [
        (5, "espnow", 0.0, False, PROMPTS[:2], 48),
        (5, "uart", 0.0, False, PROMPTS[2:4], 48),
        (1, "uart", 0.0, False, PROMPTS[1:3], 48),
        (20, "espnow", 0.0, False, PROMPTS[2:3], 32),
        (5, "espnow", 0.0, True, PROMPTS[3:4], 48),
        (8, "uart", 0.0, True, PROMPTS[4:5], 32),
        (5, "espnow", 0.2, False, PROMPTS[5:6], 24),
        (2, "uart", 0.2, True, PROMPTS[6:7], 24),
    ],
)
def test_a_slice_of_the_matrix(model, runs, chips, link, loss, secure, prompts, steps):
    assert_prompts_equal(model, runs, prompts, steps, settings(chips, link, loss, secure))


@pytest.mark.verify
@pytest.mark.timeout(60 * MINUTES_AN_ITEM)
@CLUSTERS.parametrize()
def test_without_loss(model, runs, chips, link, secure, prompt):
    assert_prompts_equal(model, runs, [prompt], STEPS, settings(chips, link, 0.0, secure))


@pytest.mark.verify
@pytest.mark.timeout(60 * MINUTES_AN_ITEM)
@LOSSY.parametrize()
def test_with_a_fifth_of_all_frames_lost(model, runs, chips, link, secure):
    prompt = PROMPTS[(chips + secure) % 7]
    assert_prompts_equal(model, runs, [prompt], STEPS // 2, settings(chips, link, 0.2, secure))
