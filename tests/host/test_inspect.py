"""`python -m host.model inspect`: what it prints and refuses."""

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from host.cli.console import Console
from host.cli.inspection import find_fewest_chips, inspect_model
from host.cli.inspection_report import print_inspection
from host.hardware import boards
from host.model import loading
from host.model.__main__ import main
from host.model.checkpoint import Checkpoint, Config, quantized_bytes
from host.model.quantization.quantize import quantize
from host.parallel.boards import BoardSet
from host.parallel.parallelism import HOST_REDUCE
from host.parallel.refusal import DoesNotFit
from tests.host.model_command import CONFIG, printed, write_model
from tests.host.model_files import SHAPES, VOCABULARY, small_tokenizer, write_gguf
from tests.host.tiny import random_checkpoint
from tests.plans import tensor_plan


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return random_checkpoint(CONFIG)


@pytest.fixture
def path(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    return write_model(checkpoint, tmp_path)


@pytest.mark.parametrize("config", SHAPES, ids=str)
def test_quantized_bytes_are_what_a_plan_counts(config: Config) -> None:
    plan = tensor_plan(quantize(random_checkpoint(config)), 1)
    assert quantized_bytes(config) == plan.heap_need(plan.shards[0]).weights


@pytest.mark.verify
def test_the_smallest_numbers_of_boards(tiny_model_file: Path) -> None:
    model = quantize(loading.load_checkpoint(tiny_model_file))
    for name in boards.names():
        board = boards.load(name)
        flashed = name != "simulated"  # with a key, and with code that only boards have
        for context, over in itertools.product((64, 256), board.links):
            chips = find_fewest_chips(model, board, context, over)
            if chips is None:
                with pytest.raises(DoesNotFit, match="no number of chips would do"):
                    BoardSet((board,), over, context, flashed).plan(model, HOST_REDUCE)
                continue
            BoardSet((board,) * chips, over, context, flashed).plan(model, HOST_REDUCE)
            for fewer in range(1, chips):
                with pytest.raises(DoesNotFit):
                    BoardSet((board,) * fewer, over, context, flashed).plan(model, HOST_REDUCE)


def test_inspect_says_what_the_model_is(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, error = printed(capsys, "inspect", path)
    assert (code, error) == (0, "")
    lines = " ".join(out.split())
    assert "format GGUF file" in lines
    assert "llama, 2 layers, dim 32, 4 heads of 8, 2 KV heads, feed-forward 19" in lines
    assert f"{VOCABULARY} tokens, shared with the classifier" in lines
    for name in boards.names():
        alone = "" if boards.load(name).espnow else " over uart"
        assert f"on {name} 1 chip{alone}" in lines


def test_inspect_as_json(
    path: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = printed(capsys, "inspect", path, "--context", 8, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["format"] == "GGUF file" and found["architecture"] == "llama"
    assert found["config"]["kv_heads"] == 2 and found["shared_classifier"] is True
    weights = {id(w): w.size for w in vars(checkpoint).values() if isinstance(w, np.ndarray)}
    assert found["parameters"] == sum(weights.values())
    # Keys and values, int16, of two layers, two KV heads of 8, and 8 positions.
    assert found["kv_bytes"] == 2 * 2 * 2 * 2 * 8 * 8
    assert found["chips"] == {
        name: dict.fromkeys(boards.load(name).links, 1) for name in boards.names()
    }
    assert found["cluster"] is None


def test_inspect_tells_whether_a_cluster_holds_it(
    tiny_model_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model_file
    monkeypatch.setattr(boards, "names", lambda *_: ["esp32s3"])  # others: in test_readme.py
    code, out, _ = printed(capsys, "inspect", model, "--chips", 9, "--board", "esp32s3", "--json")
    assert code == 0
    cluster = json.loads(out)["cluster"]
    assert (cluster["chips"], cluster["board"], cluster["problem"]) == (9, "esp32s3", None)
    assert cluster["weights"] == ["RAM"] and cluster["tokens_per_second"] > 1
    assert cluster["first_token"] > 0 and cluster["limit"]
    code, out, _ = printed(capsys, "inspect", model, "--chips", 1, "--board", "esp32s3")
    assert code == 1
    heap = boards.load("esp32s3").planned_heap("espnow") // 1024
    problem = f"1 chip esp32s3: does not fit: 1 chip with {heap} KB of heap is"
    assert problem in " ".join(out.split())


@pytest.mark.verify
def test_inspect_counts_boards_with_weights_in_flash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(64, 256, 6, 4, 4, VOCABULARY, 48)
    path = write_gguf(random_checkpoint(config), tmp_path / "m.gguf", small_tokenizer())
    code, out, _ = printed(capsys, "inspect", path, "--json")
    found = json.loads(out)
    for name, links in found["with_flash"].items():
        for link, chips in links.items():
            heaps = found["chips"][name][link]
            assert heaps is None or 1 <= chips < heaps
    assert found["with_flash"]["esp32s3"]["uart"] == 1 and "simulated" not in found["with_flash"]
    code, out, _ = printed(capsys, "inspect", path, "--chips", 1, "--board", "esp32s3",
                           "--link", "uart")  # fmt: skip
    assert code == 0
    assert "1 chip esp32s3: fits, weights in flash; " in " ".join(out.split())
    pattern = r"flash; (\S+) tokens a second.* (\S+) with --weights flash-mapped"
    rates = re.search(pattern, " ".join(out.split()))
    assert rates and float(rates[1]) < float(rates[2]) < 3 * float(rates[1])
    assert "with weights in flash 1 chip over uart" in " ".join(out.split())


def test_what_inspect_refuses(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none"
    cases = [
        ((missing,), f"{missing}: cannot read the model: No such file or directory"),
        (
            (path, "--chips", 5),
            "--chips and --board describe a cluster: give both or neither",
        ),
        ((path, "--context", 17), "context must be 1 to 16, got 17"),
        ((path, "--chips", 1, "--board", "esp31"), "no board is called 'esp31', did you mean"),
    ]
    for arguments, message in cases:
        code, out, error = printed(capsys, "inspect", *arguments)
        assert (code, out) == (1, "")
        assert error.startswith(f"error: {message}") and error.count("\n") == 1
    for wrong, message in (
        ([], "give PATH: python -m host.model inspect --help explains it"),
        ([path, "--chips=0"], "argument --chips: must be a whole number from 1 to 254, got '0'"),
        ([path, "--chips=-1"], "argument --chips: must be a whole number from 1 to 254, got '-1'"),
        ([path, "--chips=x"], "argument --chips: must be a whole number from 1 to 254, got 'x'"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(["inspect", *map(str, wrong)])
        assert caught.value.code == 2
        assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize(
    ("context", "chips", "problem", "says"),
    [
        (8192, None, None, True),
        (256, None, None, False),
        (8192, 3, None, False),
        (8192, None, "too wide", False),
    ],
)
def test_a_context_too_long_for_all_boards_is_told_how_to_shorten(
    path: Path,
    capsys: pytest.CaptureFixture[str],
    context: int,
    chips: int | None,
    problem: str | None,
    says: bool,
) -> None:
    found = replace(
        inspect_model(path),
        context=context,
        chips={"esp32s3": {"uart": chips, "espnow": None}},
        with_flash={},
        problem=problem,
    )
    print_inspection(Console(width=200), found)
    advice = "no boards hold caches for 8,192 positions: --context 256 shows which hold 256"
    assert (advice in capsys.readouterr().out) == says
