"""Widths whose requests and answers are longer than a frame, a read, or a small buffer."""

import pytest

from host.launch import SimulatedChips, open_cluster
from host.model.checkpoint import Config
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from host.parallel.parallelism import Parallelism
from tests.host.tiny import random_checkpoint

TOKENS = [1, 5, 9, 22, 7, 3]


@pytest.mark.parametrize("link", ["uart", "espnow"])
@pytest.mark.parametrize("dim", [16, 128, 256, 480])
def test_wide_models_equal_the_reference(dim: int, link: str) -> None:
    model = quantize(random_checkpoint(Config(dim, 64, 2, 8, 4, 300, 64)))
    with open_cluster(model, SimulatedChips.alike(3, link)) as started:
        started.executor.begin()
        logits = started.executor.forward(TOKENS)
    reference = Reference(model)
    for token in TOKENS:
        expected = reference.step([token])
    assert (logits == expected[0]).all()


@pytest.mark.parametrize(("chips", "mode"), [(3, "host"), (5, "chips")])
@pytest.mark.parametrize("head_dim", [4, 24])
def test_heads_narrower_and_wider_than_the_residual_stream(
    head_dim: int, chips: int, mode: str
) -> None:
    config = Config(32, 24, 2, 4, 2, 60, 64, head_dim=head_dim)
    model = quantize(random_checkpoint(config))
    how = SimulatedChips.alike(chips, "uart", parallelism=Parallelism(reduce=mode))
    with open_cluster(model, how) as started:
        started.executor.begin()
        logits = started.executor.forward(TOKENS)
    reference = Reference(model)
    for token in TOKENS:
        expected = reference.step([token])
    assert (logits == expected[0]).all()
