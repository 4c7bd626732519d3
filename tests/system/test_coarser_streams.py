"""Models whose residual stream gets coarser in a layer, on simulated chips: the logits are exactly
those of the reference."""

from dataclasses import replace

import pytest

from host.parallel.strategies import STRATEGIES
from tests.host.tiny import TINY, coarsened_model
from tests.system.test_every_mode import STARS
from tests.system.test_int8_caches import assert_same_logits

CONFIG = replace(TINY, layers=3)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: f"{s.name}-{s.role}")
def test_logits_are_the_references(strategy):
    at = STRATEGIES.index(strategy)
    assert_same_logits(coarsened_model(CONFIG, 3 + at % 2, 5), strategy, 2 + at % 2, STARS[at % 2])


@pytest.mark.verify
@pytest.mark.parametrize("change", [1, 4, 6])
@pytest.mark.parametrize("chips", [1, 3, 5])
@pytest.mark.parametrize("link", STARS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_wherever_the_stream_gets_coarser(strategy, link, chips, change):
    assert_same_logits(coarsened_model(CONFIG, change, 9), strategy, chips, link)
