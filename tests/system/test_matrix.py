"""Federations equal the reference, tokens and logits, to the bit: any number of chips, any link.

The default run takes a slice; `verify` runs every combination for 128 steps of all prompts.
"""

import itertools

import pytest

from tests.system.conftest import STEPS
from tests.system.federations import assert_prompts_equal, settings

CLUSTERS = list(itertools.product((1, 2, 5, 8, 20), ("uart", "espnow"), (False, True)))
PROMPTS = range(7)
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
@pytest.mark.parametrize(("chips", "link", "secure"), CLUSTERS)
def test_without_loss(model, runs, chips, link, secure):
    assert_prompts_equal(model, runs, PROMPTS, STEPS, settings(chips, link, 0.0, secure))


@pytest.mark.verify
@pytest.mark.timeout(60 * MINUTES_AN_ITEM)
@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize(("chips", "link", "secure"), CLUSTERS)
def test_with_a_fifth_of_all_frames_lost(model, runs, chips, link, secure, prompt):
    assert_prompts_equal(model, runs, [prompt], STEPS, settings(chips, link, 0.2, secure))
