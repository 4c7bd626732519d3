"""One small model in every format: the same tokens, the right loader, one line where none fits."""

import json
from pathlib import Path

import numpy as np
import pytest

from host.errors import ModelError
from host.model import loading
from host.model.checkpoint import Checkpoint
from host.model.formats import llama2c, quantized_file
from host.model.loading import Format, LoadedModel, load_model
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from host.paths import HOME_TOKENIZER
from tests.host.model_files import (
    VOCABULARY,
    config_of,
    grouped_checkpoint,
    small_tokenizer,
    write_gguf,
    write_huggingface,
    write_llama2c_tokenizer,
    write_tokenizer_json,
    write_version_2,
)

CONFIG = config_of(8, 2, 2, 19, VOCABULARY)
FORMATS = ["v0.bin", "v2.bin", "folder", "model.gguf", "model.q"]


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def original(request: pytest.FixtureRequest) -> Checkpoint:
    return grouped_checkpoint(CONFIG, request.param)


@pytest.fixture(scope="module")
def folder(original: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    llama2c.save(original, folder / "v0.bin")
    write_version_2(original, folder / "v2.bin", 8)
    write_llama2c_tokenizer(folder / f"tok{VOCABULARY}.bin")
    write_huggingface(original, folder / "folder")
    write_tokenizer_json(folder / "folder" / "tokenizer.json")
    write_gguf(original, folder / "model.gguf", small_tokenizer())
    quantized_file.save(quantize(original), small_tokenizer(), folder / "model.q")
    return folder


def greedy(model: LoadedModel, prompt: str) -> list[int]:
    """BOS, the prompt and what the reference goes on with, to the end of the context."""
    tokens = model.tokenizer.encode(prompt)
    reference = Reference(model.quantize())
    for position in range(CONFIG.context - 1):
        chosen = int(reference.step([tokens[position]])[0].argmax())
        if position == len(tokens) - 1:
            tokens.append(chosen)
    return tokens


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_model_gives_the_same_tokens(
    original: Checkpoint, folder: Path, name: str
) -> None:
    model = load_model(folder / name)
    assert model.config == CONFIG
    expected = LoadedModel(original, small_tokenizer())
    assert model.quantize().sha256() == quantize(original).sha256()
    for prompt in ("", "abba cab", "é ☃"):
        tokens = greedy(model, prompt)
        assert len(tokens) == CONFIG.context and tokens[0] == 1
        assert tokens == greedy(expected, prompt)
        assert model.tokenizer.stops == {1, 2}


def test_the_loader_is_chosen_by_content(folder: Path, tmp_path: Path) -> None:
    formats = [Format.LLAMA2C, Format.LLAMA2C, Format.HUGGING_FACE, Format.GGUF, Format.QUANTIZED]
    for name, expected in zip(FORMATS, formats, strict=True):
        assert loading.detect_format(folder / name) is expected
        if expected is not Format.HUGGING_FACE:  # names do not matter
            (tmp_path / "x.dat").write_bytes((folder / name).read_bytes())
            assert loading.detect_format(tmp_path / "x.dat") is expected


def refusal(*arguments: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_that_no_loader_reads(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "model"
    assert refusal(path) == f"{path}: cannot read the model: No such file or directory"
    assert refusal(tmp_path) == (f"{tmp_path}: cannot read config.json: No such file or directory")
    path.write_text("Once upon a time there was a file that was no model at all.")
    assert refusal(path).startswith(f"{path}: not a model: ")
    path.write_bytes(b"")
    assert refusal(path) == f"{path}: the file is empty, expected a llama2.c checkpoint"
    config = folder / "folder" / "config.json"
    message = f"{config}: a JSON file: give the folder where config.json is, or weights"
    assert refusal(config) == message
    weights = folder / "folder" / "model.safetensors"
    message = f"{weights}: weights alone: give the folder where config.json is beside them"
    assert refusal(weights) == message
    with pytest.raises(ModelError, match="is quantized already"):
        loading.load_checkpoint(folder / "model.q")


def test_a_header_of_llama2c_is_not_taken_for_another_format(tmp_path: Path) -> None:
    """640 = 0x0280, 0x7b = 123 layers: bytes that begin other files stand in such a header."""
    path = tmp_path / "m.bin"
    path.write_bytes(np.array([640, 64, 123, 4, 4, 40, 16], "<i4").tobytes() + bytes(100))
    assert loading.detect_format(path) is Format.LLAMA2C


def test_a_tokenizer_that_is_given_goes_before_the_models_own(
    folder: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "v0.bin"
    bare.write_bytes((folder / "v0.bin").read_bytes())
    message = f"no tok{VOCABULARY}.bin or tokenizer.bin beside {bare}: give --tokenizer"
    assert refusal(bare) == message
    own = small_tokenizer().encode("abba ☃")
    sources = [f"tok{VOCABULARY}.bin", "folder/tokenizer.json", "folder", "model.gguf"]
    for source in sources:
        assert load_model(bare, folder / source).tokenizer.encode("abba ☃") == own
    (tmp_path / "folder").mkdir()
    moved = tmp_path / "folder" / "tokenizer.json"
    moved.write_bytes((folder / "folder" / "tokenizer.json").read_bytes())
    moved.with_name("config.json").write_text(json.dumps({"bos_token_id": 7}))
    for name in FORMATS:
        assert load_model(folder / name, moved).tokenizer.encode("abba ☃") == [7, *own[1:]]


def test_a_tokenizer_of_another_size(folder: Path) -> None:
    other = HOME_TOKENIZER
    for name in FORMATS:
        message = f"{other}: the tokenizer has 512 tokens, the model has {VOCABULARY}"
        assert refusal(folder / name, other) == message


def test_calibration_begins_with_the_models_own_bos(original: Checkpoint) -> None:
    tokenizer = small_tokenizer()
    usual = LoadedModel(original, tokenizer).quantize()
    tokenizer.bos = 270
    assert LoadedModel(original, tokenizer).quantize().sha256() != usual.sha256()
