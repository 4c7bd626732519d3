"""Widths whose requests and answers are longer than a frame, a read, or a small buffer."""

import pytest

from host.hardware.board import load
from host.launch.simulated import Settings, running
from host.model.checkpoint import Config
from host.model.quantization.quantize import quantized
from host.model.reference import Reference
from tests.host.tiny import random_checkpoint

TOKENS = [1, 5, 9, 22, 7, 3]


@pytest.mark.parametrize("link", ["uart", "espnow"])
@pytest.mark.parametrize("dim", [16, 128, 256, 480])
def test_wide_models_equal_the_reference(dim: int, link: str) -> None:
    model = quantized(random_checkpoint(Config(dim, 64, 2, 8, 4, 300, 64)))
    board = load("simulated")
    with running(model, Settings(3, link, board, board.heap_kb * 1024)) as started:
        started.federation.begin()
        logits = started.federation.forward(TOKENS)
    reference = Reference(model)
    for token in TOKENS:
        expected = reference.step([token])
    assert (logits == expected[0]).all()
