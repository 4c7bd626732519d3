"""What the header of a model shows is refused before its weights are read, and all at once."""

from dataclasses import replace
from pathlib import Path

import pytest

import host
from host.errors import Curable, ModelError
from host.generation.prompt_encoder import PromptEncoder
from host.model import loading
from host.model.outline import LEAST_BITS, Outline
from host.model.quantization.quantize import quantize
from host.plan import main as plan_main
from host.run import main as run_main
from tests.host.model_files import VOCABULARY, config_of, small_tokenizer
from tests.host.small_models import KINDS, WORDY, write_model
from tests.host.tiny import random_checkpoint

# No message names so many layers.
DEEP = replace(config_of(8, 1, 2, 32, VOCABULARY), layers=257)


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads weights fails."""

    def refuse(*arguments: object) -> None:
        raise AssertionError("weights are read")

    for kind in ("gguf.GgufModel", "huggingface.HuggingFaceModel", "llama2c.Llama2cModel"):
        for method in ("checkpoint", "weights"):
            monkeypatch.setattr(f"host.model.formats.{kind}.{method}", refuse)


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_is_read_without_weights(kind: str, tmp_path: Path) -> None:
    header = loading.read_header(write_model(kind, tmp_path))
    assert header.config.dim == WORDY.dim
    assert header.tokenizer.encode("abba") == small_tokenizer().encode("abba")
    with pytest.raises(AssertionError, match="weights are read"):
        header.load()


@pytest.mark.parametrize("kind", KINDS)
def test_no_chips_can_run_it_is_told_before_what_can_be_cured(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_model(kind, tmp_path, DEEP, complete=False))
    for main in (run_main, plan_main):
        assert main(["--model", path, "--chips", "3"]) == 1
        assert capsys.readouterr().err.startswith("error: 257 layers: ")
    with pytest.raises(ModelError, match="^257 layers: "), host.simulate(path):
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_be_cured_is_told_together(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_model(kind, tmp_path, complete=False)
    (tmp_path / "m.toml").write_text("template = 5")
    command = ["--model", str(path), "--chips", "1", "--heap", "20K"]
    assert run_main(command) == 1
    line = capsys.readouterr().err
    shortage, form, tokenizer = line.removeprefix("error: ").rstrip().split("; and ")
    assert shortage.startswith("1 chip with 20 KB of heap is ")
    assert form == f'{tmp_path / "m.toml"}: no template, as template = "{{prompt}}\\n"'
    assert "token" in tokenizer and line.count("\n") == 1


def test_steps_and_context_are_refused_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_model("gguf", tmp_path))
    assert run_main(["--model", path, "--context", "17"]) == 1
    assert capsys.readouterr().err == "error: context must be 1 to 16, got 17\n"
    assert run_main(["--model", path, "--steps", "17"]) == 1
    assert "--steps 17: 1 to 16, the context" in capsys.readouterr().err
    assert run_main(["--model", path, "--prompt", "a" * 99]) == 1
    assert "the prompt has " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("context", "is_flashed", "advice"),
    [
        (8, False, "shorten it or raise the context (--context, up to 16)"),
        (8, True, "shorten it, or flash all boards again with a --context of up to 16"),
        (None, False, "shorten it"),
        (16, True, "shorten it"),
    ],
)
def test_a_long_prompt_is_advised_what_can_be_done(
    context: int | None, is_flashed: bool, advice: str, tmp_path: Path
) -> None:
    header = loading.read_header(write_model("gguf", tmp_path))
    encoder = PromptEncoder(header, context, None, is_flashed=is_flashed)
    with pytest.raises(ModelError) as caught:
        encoder.encode("cab " * 20)
    assert str(caught.value).endswith(f"positions: {advice}")


@pytest.mark.parametrize("kind", KINDS)
def test_an_outline_promises_no_more_bits_than_the_model_has(kind: str, tmp_path: Path) -> None:
    found: list[Outline] = []
    loading.read_header(write_model(kind, tmp_path), check=found.append)
    bits = quantize(random_checkpoint(WORDY)).accumulator_bits
    assert LEAST_BITS <= found[0].accumulator_bits <= bits
    assert (found[0].accumulator_bits > LEAST_BITS) == (kind != "llama2c")


def test_several_refusals_are_one_line() -> None:
    assert str(loading.join_refusals([Curable("a"), ModelError("b\n")])) == "a; and b\\n"


def test_a_tensor_of_another_shape_is_told_by_the_header(tmp_path: Path) -> None:
    path = write_model("gguf", tmp_path)
    key = b"llama.feed_forward_length"
    data = path.read_bytes()
    at = data.index(key) + len(key) + 4
    path.write_bytes(data[:at] + (11).to_bytes(4, "little") + data[at + 4 :])
    expected = r"tensor blk.0.ffn_gate.weight has shape \(9, 16\), expected \(11, 16\)"
    with pytest.raises(ModelError, match=expected):
        loading.read_header(path)
