"""Models with weights in groups of four bits, on simulated chips: logits are the reference's."""

from dataclasses import replace

import pytest

from host.parallel import flash
from host.parallel.strategies import STRATEGIES
from tests.host.test_groups import CONFIG, grouped_checkpoint, grouped_model
from tests.system.test_every_mode import STARS, name_of
from tests.system.test_int8_caches import assert_same_logits


@pytest.mark.parametrize("strategy", STRATEGIES, ids=name_of)
def test_logits_are_the_references(strategy):
    at = STRATEGIES.index(strategy)
    model = grouped_model(grouped_checkpoint(CONFIG, seed=at))
    assert_same_logits(model, strategy, 2 + at % 2, STARS[at % 2])


@pytest.mark.parametrize("strategy", STRATEGIES, ids=name_of)
def test_weights_in_flash_are_read_in_several_blocks(strategy, monkeypatch):
    monkeypatch.setattr(flash, "BLOCK", 512)
    monkeypatch.setattr(flash, "CHUNK", 3 * 512)
    at = STRATEGIES.index(strategy)
    model = grouped_model(grouped_checkpoint(CONFIG, seed=at))
    assert_same_logits(model, strategy, 3 - at % 2, STARS[at % 2], weights="flash")


@pytest.mark.verify
@pytest.mark.parametrize("chips", [1, 2, 3, 4])
@pytest.mark.parametrize("link", STARS)
@pytest.mark.parametrize("strategy", STRATEGIES, ids=name_of)
def test_any_number_of_chips(strategy, link, chips):
    """Also where the file has the output projection, or that of units, in other values."""
    config = replace(CONFIG, heads=4, kv_heads=2, head_dim=16 * (1 + chips % 2))
    assert_same_logits(grouped_model(grouped_checkpoint(config)), strategy, chips, link)
