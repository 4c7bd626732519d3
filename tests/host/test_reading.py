"""What is no regular file is not read, and what is far too large not either."""

import json
import os
import shutil
import tracemalloc
from pathlib import Path

import pytest

from host.errors import ModelError
from host.model import loading
from host.model.files import LARGEST_TEXT, open_file, read_small_file
from host.model.formats import quantized_file
from host.model.quantization.quantize import quantize
from tests.host.model_files import (
    small_tokenizer,
    write_gguf,
    write_huggingface,
    write_llama2c_tokenizer,
)
from tests.host.small_models import WORDY, write_model
from tests.host.tiny import random_checkpoint

NOT_REGULAR = "it is no regular file"
HUGE = 1 << 40  # bytes, none of which are stored


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """That nobody writes to."""
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def refusal(model: Path, tokenizer: Path | None = None) -> str:
    """How loading ends: at once, and without taking memory for what is there."""
    tracemalloc.start()
    with pytest.raises(ModelError) as caught:
        loading.load_model(model, tokenizer)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20
    return str(caught.value)


def test_a_file_is_opened_and_all_else_is_not(tmp_path: Path, pipe: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        with open_file(tmp_path / name) as file:
            assert file.read() == b"abc"
        assert read_small_file(tmp_path / name) == b"abc"
    for path, reason in (
        (tmp_path / "none", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (pipe, NOT_REGULAR),
        (Path("/dev/zero"), NOT_REGULAR),
    ):
        with pytest.raises(OSError) as caught:
            open_file(path)
        assert caught.value.strerror == reason


def test_models_and_tokenizers_that_are_pipes_and_devices(tmp_path: Path, pipe: Path) -> None:
    model = write_model("llama2c", tmp_path, complete=False)
    for path in (pipe, Path("/dev/zero")):
        assert refusal(path) == f"{path}: cannot read the model: {NOT_REGULAR}"
        expected = f"{path}: cannot read the tokenizer: {NOT_REGULAR}"
        assert refusal(model, path) == expected
        for name, words in (
            ("tokenizer.json", f"/tokenizer.json: cannot read the tokenizer: {NOT_REGULAR}"),
            ("model.safetensors", f": cannot read model.safetensors: {NOT_REGULAR}"),
            ("config.json", f": cannot read config.json: {NOT_REGULAR}"),
        ):
            folder = write_model("folder", tmp_path)
            (folder / name).unlink()
            (folder / name).symlink_to(path)
            assert refusal(folder) == f"{folder}{words}"
            shutil.rmtree(folder)


def test_a_model_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root reads everything, so the system's refusal is put on."""
    model = write_model("llama2c", tmp_path, complete=False)

    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert refusal(model) == f"{model}: cannot read the model: Permission denied"


def test_a_llama2c_checkpoint_is_read_only_where_its_size_is_right(tmp_path: Path) -> None:
    model = write_model("llama2c", tmp_path, complete=False)
    needed = model.stat().st_size
    os.truncate(model, HUGE)
    assert refusal(model) == (
        f"{model}: {HUGE - needed} bytes too many: {HUGE}, the header asks for {needed}"
    )


def test_tokenizers_and_configurations_that_are_far_too_large(tmp_path: Path) -> None:
    model = write_model("llama2c", tmp_path, complete=False)
    tokenizer = write_llama2c_tokenizer(tmp_path / "tok.bin")
    os.truncate(tokenizer, LARGEST_TEXT + 1)
    expected = f"{tokenizer}: cannot read the tokenizer: it has 268,435,457 bytes"
    assert refusal(model, tokenizer) == expected
    folder = write_model("folder", tmp_path, complete=False)
    os.truncate(folder / "config.json", HUGE)
    assert refusal(folder) == f"{folder}: cannot read config.json: it has 1,099,511,627,776 bytes"


def test_a_wide_model_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    """As are all of those that a user may first think of, with their gigabytes."""
    folder = write_model("folder", tmp_path, complete=False)
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**fields, "hidden_size": 4160}))
    os.truncate(folder / "model.safetensors", HUGE)
    assert refusal(folder) == f"{folder}: dim must be at most 4096, got 4160"


def test_names_in_files_do_not_break_the_line(tmp_path: Path) -> None:
    path = write_gguf(
        random_checkpoint(WORDY), tmp_path / "m.gguf", architecture="a\nb\x1b[31m" + 500 * "c"
    )
    supported = "is not supported: Llama, Mistral and Qwen3 are"
    assert refusal(path) == f"{path}: architecture a\\nb\\x1b[31m{52 * 'c'} {supported}"
    folder = write_huggingface(
        random_checkpoint(WORDY), tmp_path / "folder", architectures=["a\nb"]
    )
    assert refusal(folder) == f"{folder}: architecture a\\nb {supported}"


def test_a_folder_by_its_shortest_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_model("folder", tmp_path)
    (folder / "below").mkdir()
    monkeypatch.chdir(folder)
    assert loading.load_model(".").config == WORDY
    monkeypatch.chdir(folder / "below")
    (tmp_path / "m.toml").write_text('template = "{prompt}!"')
    assert loading.load_model("..").prompt_format.template == "{prompt}!"


def test_only_files_are_replaced_by_a_quantized_model(tmp_path: Path, pipe: Path) -> None:
    model = quantize(random_checkpoint(WORDY))
    with pytest.raises(ModelError, match=f"^{pipe}: cannot write: {NOT_REGULAR}$"):
        quantized_file.save(model, small_tokenizer(), pipe)
    assert pipe.is_fifo()
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]
