"""Frames and bytes of a token: counted on simulated federations, bounded, and as modelled."""

import pytest

from bench import bounds, links
from bench.chip_combined_model import ChipCombined
from bench.federation_model import Scenario
from bench.host_combined_model import HostCombined
from bench.link_figures import RATES
from bench.results import Label
from bench.work import PART, Work
from host.model.quantization.quantize import quantize
from tests.host.tiny import random_checkpoint
from tests.plans import tensor_plan

MODEL = quantize(random_checkpoint())
WORK = Work({0: (1e4, 0.0, 0.0), 1: (1e4, 0.0), 2: (1e4, 0.0), PART: (1e3,)}, 0.0)
TOKENS = 2


def test_no_token_takes_more_than_its_bound() -> None:
    assert bounds.exceeded(bounds.link_figures(), bounds.stored("links")) == []


@pytest.mark.parametrize("link", ["uart", "espnow"])
@pytest.mark.parametrize(("chips", "mode"), [(1, "host"), (4, "host"), (1, "chips"), (3, "chips")])
def test_the_model_sends_the_frames_that_are_counted(link: str, chips: int, mode: str) -> None:
    counted = links.counted(MODEL, link, chips, mode, TOKENS)
    mtu, rate = (None, None) if link == "uart" else (250, RATES[0])
    plan = tensor_plan(MODEL, chips, mtu=mtu, reduce=mode)
    model = {"host": HostCombined, "chips": ChipCombined}[mode]
    modelled = model(Scenario(plan, WORK, 1e8, rate)).outcome(TOKENS)
    assert modelled.line_frames == counted.line_frames / TOKENS
    assert modelled.air_frames == counted.air_frames / TOKENS
    # The model's sums are as wide as a trained model's, those of random weights narrower.
    assert counted.line_bytes / TOKENS <= modelled.line_bytes <= 1.5 * counted.line_bytes / TOKENS


def test_best_tokens_take_fewer_bytes_than_logits() -> None:
    logits, best = (
        {row.name: row for row in links.figures(MODEL, "espnow", 2, mode, TOKENS, "tiny")}
        for mode in ("chips", "chips, greedy")
    )
    assert best["line: bytes"].value < logits["line: bytes"].value
    assert best["synchronizations"].value == 2 * MODEL.config.layers + 1
    assert {row.label for row in best.values()} == {Label.MEASURED, Label.MODELLED}
    assert best["air: time at 1 Mbit/s"].value > best["air: time at 54 Mbit/s"].value
