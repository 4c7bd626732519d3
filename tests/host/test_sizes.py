"""What well-known models would take: `python -m host.model sizes`."""

import json
from dataclasses import replace

import pytest

from host.errors import ModelError
from host.hardware.boards import load
from host.model.__main__ import main
from host.model.checkpoint import quantized_bytes
from host.model.outline import Outline
from host.parallel import well_known
from host.parallel.boards import BoardSet
from host.parallel.cost.estimate import PROMPT, estimate
from host.parallel.cost.latency import LatencyModel
from host.parallel.cost.traffic import widest_sums
from host.parallel.fitting import find_plans
from host.parallel.parallelism import ANYWHERE, HEAP, HOST_REDUCE
from host.parallel.well_known import MODELS, find_boards_needed

N16R8 = load("esp32s3-n16r8")


def test_parameters_are_those_that_were_published() -> None:
    published = {
        "stories15M": 15.2, "stories42M": 41.7, "stories110M": 109.5, "SmolLM2-135M": 134.5,
        "SmolLM2-360M": 361.8, "Qwen3-0.6B": 596.0, "TinyLlama-1.1B": 1100.0,
        "Llama-3.2-1B": 1235.8, "SmolLM2-1.7B": 1711.4,
    }  # fmt: skip
    assert {model.name: model.parameters / 1e6 for model in MODELS} == pytest.approx(
        published, rel=3e-3
    )


def test_all_matrices_of_whole_groups_can_be_in_groups() -> None:
    grouped = {model.name: model.in_groups().config.grouped for model in MODELS}
    every = frozenset({"wq", "wk", "wv", "wo", "w1", "w2", "w3"})
    # Heads of 48 are no whole groups of the output projection's columns.
    assert grouped.pop("stories15M") == every - {"wo"}
    assert set(grouped.values()) == {every}
    smollm2 = next(model for model in MODELS if model.name == "SmolLM2-135M").in_groups()
    bits = 8 * quantized_bytes(smollm2.config) / smollm2.parameters
    assert 5.2 < bits < 5.3 and smollm2.parameters == pytest.approx(134.5e6, rel=1e-3)


def test_so_many_boards_hold_it_and_no_fewer() -> None:
    model = MODELS[0]
    found = find_boards_needed(model, N16R8, "uart", 256)
    outline = Outline(model.config, 32)
    for need, weights, places in (
        (found.fewest, ANYWHERE, {"PSRAM", "flash"}),
        (found.in_heaps, HEAP, {"PSRAM"}),
    ):
        assert need.chips is not None and need.estimate is not None
        assert set(need.estimate.places) == places
        parallelism = replace(HOST_REDUCE, weights=weights)
        for chips, fits in ((need.chips, True), (need.chips - 1, False)):
            boards = BoardSet((N16R8,) * chips, "uart", 256, True, "pins", weights=weights)
            if fits:
                plan = boards.plan(outline, parallelism)
                assert need.estimate.latency.total <= estimate(plan, boards).latency.total
            else:
                with pytest.raises(ModelError):
                    boards.plan(outline, parallelism)
    assert found.weight_bytes == pytest.approx(15.2e6, rel=0.02)


def test_the_first_token_takes_the_prompt_in_requests() -> None:
    outline = Outline(MODELS[0].config, 32)
    boards = BoardSet((N16R8,) * 3, "uart", 256, True, "pins")
    plan = boards.plan(outline, HOST_REDUCE)
    found = estimate(plan, boards)
    times = LatencyModel(plan, boards.boards)
    rows = plan.positions
    token = plan.strategy.synchronizations(plan, True, widest_sums(plan), rows)
    every = times.latency(token, PROMPT // 2, rows).total
    # The vocabulary's rows are asked for once.
    assert every < found.first_token < every * -(-PROMPT // rows)


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("host.cli.sizes.MODELS", MODELS[:1])
    assert main(["sizes", "--link", "uart"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "stories15M 15 M 15 2 " in out
    assert "esp32s3-n16r8 over serial lines at 921,600 baud" in out
    assert main(["sizes", "--link", "uart", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["fewest"]["chips"] == 2 and found["fewest"]["tokens_per_second"] > 0
    assert main(["sizes", "--link", "uart", "--line-baud", "3000000", "--json"]) == 0
    (fast,) = json.loads(capsys.readouterr().out)
    assert fast["fewest"]["tokens_per_second"] > found["fewest"]["tokens_per_second"]
    assert main(["sizes", "--link", "uart", "--weights", "groups"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "parameters groups boards" in out and "stories15M 15 M 13 1 " in out
    assert main(["sizes", "--board", "esp32h2"]) == 1
    assert "esp32h2 has no ESP-NOW: give --link uart" in capsys.readouterr().err


def test_a_ring_has_a_stage_on_each_board(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("host.cli.sizes.MODELS", MODELS[:1])
    assert main(["sizes", "--link", "ring", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    fewest = found["fewest"]["chips"]
    assert found["fewest"]["options"] == "--parallel pipeline"
    assert found["in_heaps"]["chips"] is None
    outline = Outline(MODELS[0].config, 32)
    for chips in (fewest, fewest - 1):
        boards = BoardSet((N16R8,) * chips, "ring", 256, True, "pins", weights=ANYWHERE)
        plans, _ = find_plans(outline, boards)
        assert bool(plans) == (chips == fewest)
    assert main(["sizes", "--link", "ring"]) == 0
    assert "none: no ring of a board a layer" in " ".join(capsys.readouterr().out.split())
    assert main(["sizes", "--link", "ring", "--radio-mtu", "1470"]) == 1
    assert "--radio-mtu is for --link espnow" in capsys.readouterr().err


@pytest.mark.verify
def test_more_boards_than_a_cluster_has_are_counted_and_not_estimated() -> None:
    large = well_known.WellKnown("large", replace(MODELS[1].config, layers=100))
    found = find_boards_needed(large, N16R8, "uart", 64)
    assert found.fewest.chips is not None and found.fewest.chips > well_known.MOST_ESTIMATED
    assert found.fewest.estimate is None
