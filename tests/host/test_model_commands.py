"""`python -m host.model inspect` and `quantize`: what they print, write and refuse."""

import itertools
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from host.cli.inspection import find_fewest_chips
from host.cli.quantizing import MOST_SEQUENCES, read_texts
from host.hardware import boards
from host.model import loading
from host.model.__main__ import main
from host.model.checkpoint import Checkpoint, Config, quantized_bytes
from host.model.float_model import FloatModel, perplexity
from host.model.float_text import sample_sequences
from host.model.formats import quantized_file
from host.model.quantization.caches import narrow_caches
from host.model.quantization.quality import measure_quality
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from host.parallel.boards import BoardSet
from host.parallel.parallelism import HOST_REDUCE
from host.parallel.refusal import DoesNotFit
from tests.host.model_files import SHAPES, VOCABULARY, config_of, small_tokenizer, write_gguf
from tests.host.tiny import random_checkpoint
from tests.plans import tensor_plan

CONFIG = config_of(8, 2, 2, 19, VOCABULARY)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return random_checkpoint(CONFIG)


@pytest.fixture
def path(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    return write_gguf(checkpoint, tmp_path / "model.gguf", small_tokenizer())


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, and what went to standard output and error."""
    code = main([str(argument) for argument in arguments])
    return (code, *capsys.readouterr())


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
        ([], "the following arguments are required: PATH"),
        ([path, "--chips=0"], "argument --chips: must be a whole number from 1 to 254, got '0'"),
        ([path, "--chips=-1"], "argument --chips: must be a whole number from 1 to 254, got '-1'"),
        ([path, "--chips=x"], "argument --chips: must be a whole number from 1 to 254, got 'x'"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(["inspect", *map(str, wrong)])
        assert caught.value.code == 2
        assert capsys.readouterr().err == f"error: {message}\n"


def test_quantize_writes_what_run_would_make_of_the_floats(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model.q"
    code, out, error = printed(capsys, "quantize", path, "-o", output)
    assert (code, out) == (0, "")
    assert "texts that the model sampled itself" in error
    model, tokenizer, _ = quantized_file.load(output)
    expected = loading.load_model(path)
    assert model.sha256() == expected.quantize().sha256()
    assert tokenizer.encode("abba") == expected.tokenizer.encode("abba")
    assert loading.load_model(output).quantize().sha256() == model.sha256()
    code, out, _ = printed(capsys, "inspect", output)
    assert code == 0 and "format quantized model" in " ".join(out.split())


def test_quantize_to_int8_caches(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model.q"
    code, _, error = printed(capsys, "quantize", path, "-o", output, "--kv", "int8")
    assert code == 0
    model, *_ = quantized_file.load(output)
    whole = loading.load_model(path).quantize()
    assert model.sha256() == narrow_caches(whole).sha256() != whole.sha256()
    assert "quantized (" in error
    code, out, _ = printed(capsys, "inspect", output, "--context", 8, "--json")
    # Numbers of keys and values and a shift for each head, of two layers and two KV heads of 8.
    assert json.loads(out)["kv_bytes"] == 2 * 2 * 2 * 8 * (8 + 1)
    code, out, _ = printed(capsys, "inspect", output)
    assert "of int8 caches for" in " ".join(out.split())


def test_quantize_refuses_other_caches(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["quantize", str(path), "-o", "never", "--kv", "int4"])
    assert ended.value.code
    assert "int4" in capsys.readouterr().err


def test_quantize_calibrates_on_a_text_and_measures_on_its_other_half(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("abba cab " * 40 + "d é dd " * 60)
    output = tmp_path / "model.q"
    code, _, error = printed(capsys, "quantize", path, "-o", output, "--text", text)
    assert code == 0
    assert "on the second half of text.txt)" in error
    checkpoint = loading.load_checkpoint(path)
    float_model = FloatModel(checkpoint)
    texts = read_texts(text, small_tokenizer(), float_model)
    model, *_ = quantized_file.load(output)
    ranges = float_model.measure_ranges(texts.calibration)
    assert model.sha256() == quantize(checkpoint, ranges).sha256()
    assert model.sha256() != loading.load_model(path).quantize().sha256()
    exact = perplexity(float_model.logits(texts.held_out), texts.held_out)
    assert f"perplexity {exact:.4f} in floats" in error


def test_quality_is_what_whole_forward_passes_give(checkpoint: Checkpoint) -> None:
    model, steps = FloatModel(checkpoint), []
    sequences = sample_sequences(model, 5, 12, seed=3)
    integers = quantize(checkpoint)
    found = measure_quality(model, integers, sequences, lambda: steps.append(1))
    exact = model.logits(sequences)
    approximate = Reference(integers, 5).logits(sequences) * 2.0**-integers.logit_exponent
    assert found.float_perplexity == pytest.approx(perplexity(exact, sequences))
    assert found.quantized_perplexity == pytest.approx(perplexity(approximate, sequences))
    agreeing = (exact.argmax(-1) == approximate.argmax(-1))[:, :-1].mean()
    assert found.agreement == pytest.approx(agreeing)
    assert found.predictions == 55 and len(steps) == 11
    assert abs(found.change) < 0.02 and found.agreement > 0.8


def test_a_text_is_cut_into_sequences_that_do_not_meet(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    tokenizer, model = small_tokenizer(), FloatModel(checkpoint)
    text = tmp_path / "text"
    text.write_text("a b c d " * 10_000)
    tokens = tokenizer.encode(text.read_text(), bos=False)
    texts = read_texts(text, tokenizer, model)
    half = len(tokens) // 2
    for rows, part in ((texts.calibration, tokens[:half]), (texts.held_out, tokens[half:])):
        assert rows.shape == (MOST_SEQUENCES, CONFIG.context)
        assert (rows[:, 0] == tokenizer.bos).all()
        assert rows[0, 1:].tolist() == part[:15]
        last = (len(part) // 15 - 1) * 15
        assert rows[-1, 1:].tolist() == part[last : last + 15]
    text.write_text("d" * 35)
    short = read_texts(text, tokenizer, model)
    assert short.calibration.shape == (1, 16) and short.held_out.shape == (1, 16)


def test_what_quantize_refuses(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done, text = tmp_path / "done", tmp_path / "text"
    quantized_file.save(quantize(loading.load_checkpoint(path)), small_tokenizer(), done)
    text.write_text("d d d")
    picture = tmp_path / "picture"
    picture.write_bytes(b"\x89PNG\xff")
    output = tmp_path / "out"
    nowhere = tmp_path / "none" / "out"
    brief = tmp_path / "brief.gguf"
    write_gguf(random_checkpoint(replace(CONFIG, context=1)), brief, small_tokenizer())
    cases = [
        ((done, "-o", output),
             f"{done}: is quantized already: give the model that it was made from"),
        ((path, "-o", output, "--text", text), f"{text}: 6 tokens, too few: give at least 32"),
        ((path, "-o", output, "--text", picture),
         f"{picture}: line 1: it is not UTF-8 text, but perhaps Windows-1252 or Latin-1: save it"
         " as UTF-8"),
        ((path, "-o", output, "--text", nowhere),
         f"{nowhere}: cannot read the text: No such file or directory"),
        ((brief, "-o", output), f"{brief}: a context of one position leaves nothing to measure"),
        ((path, "-o", nowhere), f"{nowhere}: cannot write: No such file or directory"),
    ]  # fmt: skip
    for arguments, message in cases:
        assert printed(capsys, "quantize", *arguments) == (1, "", f"error: {message}\n")
    assert not output.exists()


def test_a_model_is_not_quantized_onto_itself(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = path.read_bytes()
    code, out, error = printed(capsys, "quantize", path, "-o", path)
    assert (code, out) == (1, "")
    assert error == f"error: {path} is the model itself: give another file to write\n"
    assert path.read_bytes() == before


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux tells a process's threads")
def test_the_command_multiplies_in_one_thread() -> None:
    program = (
        "import os, host.model.__main__, numpy as np; a = np.ones((500, 500)); a @ a;"
        "print(len(os.listdir('/proc/self/task')))"
    )
    given = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=given, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "1\n"
