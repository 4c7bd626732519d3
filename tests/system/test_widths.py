"""Widths whose requests and answers are longer than a frame, a read, or a small buffer."""

from dataclasses import replace
from functools import cache

import pytest

from host.launch import SimulatedChips, open_cluster, simulated
from host.model.arithmetic import Ints
from host.model.checkpoint import Config
from host.model.quantization.quantize import quantize
from host.model.quantized import QuantizedModel
from host.model.reference import Reference
from host.parallel.parallelism import ALL_GATHER, Parallelism, hybrid, pipeline
from tests.host.tiny import random_checkpoint, seeded_model
from tests.system.federations import HEAP

TOKENS = [1, 5, 9, 22, 7, 3]


@pytest.mark.parametrize("link", ["uart", "espnow"])
@pytest.mark.parametrize("dim", [16, 128, 256, 480])
def test_wide_models_equal_the_reference(dim: int, link: str) -> None:
    model = quantize(random_checkpoint(Config(dim, 64, 2, 8, 4, 300, 64)))
    with open_cluster(model, SimulatedChips.alike(3, link, heap=4 * HEAP)) as started:
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
    how = SimulatedChips.alike(chips, "uart", heap=HEAP, parallelism=Parallelism(reduce=mode))
    with open_cluster(model, how) as started:
        started.executor.begin()
        logits = started.executor.forward(TOKENS)
    reference = Reference(model)
    for token in TOKENS:
        expected = reference.step([token])
    assert (logits == expected[0]).all()


# Widths whose messages go in several frames on any link, and partial sums in several banks; heads
# as those of SmolLM2-135M.
ODD = Config(576, 1536, 1, 9, 3, 300, 64)
FEWER = replace(ODD, hidden_dim=640)  # units, of which messages of all-gather still take several
WIDE = Config(2048, 96, 2, 16, 4, 300, 64)
BANKED = Config(1024, 96, 1, 16, 4, 300, 64)  # of which chips of all-gather take two banks
WIDEST = Config(4096, 40, 1, 32, 4, 100, 16)
HOST, CHIPS = Parallelism(reduce="host"), Parallelism(reduce="chips")
CASES = [
    (FEWER, 5, "uart", HOST, False, 0.0),
    (FEWER, 3, "espnow", CHIPS, True, 0.05),
    (FEWER, 4, "espnow", ALL_GATHER, True, 0.05),
    pytest.param(ODD, 5, "uart", HOST, False, 0.0, marks=pytest.mark.verify),
    pytest.param(ODD, 3, "espnow", CHIPS, True, 0.05, marks=pytest.mark.verify),
    pytest.param(ODD, 10, "espnow", ALL_GATHER, True, 0.05, marks=pytest.mark.verify),
    pytest.param(ODD, 5, "uart", ALL_GATHER, False, 0.0, marks=pytest.mark.verify),
    pytest.param(WIDE, 5, "espnow", ALL_GATHER, False, 0.05, marks=pytest.mark.verify),
    pytest.param(BANKED, 2, "espnow", ALL_GATHER, True, 0.02, marks=pytest.mark.verify),
    pytest.param(ODD, 5, "espnow", HOST, True, 0.1, marks=pytest.mark.verify),
    pytest.param(ODD, 2, "uart", CHIPS, True, 0.05, marks=pytest.mark.verify),
    pytest.param(WIDE, 3, "uart", HOST, True, 0.02, marks=pytest.mark.verify),
    pytest.param(WIDE, 3, "espnow", HOST, False, 0.05, marks=pytest.mark.verify),
    pytest.param(WIDE, 5, "uart", CHIPS, False, 0.0, marks=pytest.mark.verify),
    pytest.param(WIDE, 3, "espnow", CHIPS, True, 0.05, marks=pytest.mark.verify),
    pytest.param(WIDE, 2, "uart", pipeline(2), True, 0.02, marks=pytest.mark.verify),
    pytest.param(WIDE, 2, "espnow", pipeline(2), False, 0.05, marks=pytest.mark.verify),
    pytest.param(WIDE, 4, "uart", hybrid(2), False, 0.02, marks=pytest.mark.verify),
    pytest.param(WIDE, 4, "espnow", hybrid(2), True, 0.05, marks=pytest.mark.verify),
    pytest.param(WIDEST, 2, "uart", HOST, False, 0.02, marks=pytest.mark.verify),
    pytest.param(WIDEST, 2, "espnow", CHIPS, False, 0.02, marks=pytest.mark.verify),
]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives chips of wide models the time that they take for a request on a busy machine."""
    monkeypatch.setattr(simulated, "_TIMEOUT", 60.0)


@cache
def of_shape(config: Config) -> tuple[QuantizedModel, Ints]:
    """The model of this shape, and its logits after the last of TOKENS."""
    model = seeded_model(config)
    reference = Reference(model, context=len(TOKENS))
    logits = [reference.step([token])[0] for token in TOKENS]
    return model, logits[-1]


@pytest.mark.parametrize(("config", "chips", "link", "parallelism", "signed", "loss"), CASES)
def test_messages_go_in_as_many_frames_as_they_need(
    config: Config, chips: int, link: str, parallelism: Parallelism, signed: bool, loss: float
) -> None:
    model, expected = of_shape(config)
    heap = (64 if config.dim > 1024 else 8) << 20  # a small one, for its collector is quick
    how = SimulatedChips.alike(
        chips, link, signed=signed, loss=loss, parallelism=parallelism, heap=heap
    )
    with open_cluster(model, how) as started:
        executor = started.executor
        executor.begin()
        executor.forward(TOKENS[:2])
        assert (executor.forward(TOKENS[2:]) == expected).all()
        plan = executor.plan
    assert plan.shape.frames(plan.strategy.request_frame(plan.shape)) > 1
