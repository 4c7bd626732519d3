"""`python -m host.model quantize`: what it writes, measures and refuses."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from host.cli.quantizing import MOST_SEQUENCES, read_texts
from host.model import loading
from host.model.__main__ import main
from host.model.checkpoint import Checkpoint
from host.model.float_model import FloatModel, perplexity
from host.model.float_text import sample_sequences
from host.model.formats import quantized_file
from host.model.quantization.caches import narrow_caches
from host.model.quantization.quality import measure_quality
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from tests.host.model_command import CONFIG, printed, write_model
from tests.host.model_files import small_tokenizer, write_gguf
from tests.host.tiny import random_checkpoint


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return random_checkpoint(CONFIG)


@pytest.fixture
def path(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    return write_model(checkpoint, tmp_path)


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
