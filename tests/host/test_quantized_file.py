"""Quantized files: every number comes back, any damage is one line, writing is all or nothing."""

import json
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from host.errors import ModelError
from host.model.formats import quantized_file
from host.model.prompt_format import CONTINUATION, PromptFormat
from host.model.quantization.quantize import quantize
from host.model.quantized import QuantizedModel
from host.model.reference import Reference
from host.model.tokenizers.bpe import BpeTokenizer
from host.model.tokenizers.huggingface import HuggingFaceTokenizer
from tests.host.model_files import VOCABULARY, small_tokenizer, write_tokenizer_json
from tests.host.small_models import WORDY
from tests.host.tiny import random_checkpoint

FORMAT = PromptFormat("{prompt} =>", ("abba", "é"))


@pytest.fixture(scope="module")
def model() -> QuantizedModel:
    return quantize(random_checkpoint(WORDY))


@pytest.fixture(scope="module")
def whole(model: QuantizedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quantized") / "model.q"
    quantized_file.save(model, small_tokenizer(), path, FORMAT)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        quantized_file.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_model_and_tokenizer_come_back(model: QuantizedModel, whole: Path) -> None:
    found, tokenizer, form = quantized_file.load(whole)
    assert form == FORMAT
    assert found.sha256() == model.sha256()
    assert found.config == model.config
    assert found.layers[1].q.rescale.shift == model.layers[1].q.rescale.shift
    logits = Reference(found).logits([[1, 5, 9, 270]])
    assert (logits == Reference(model).logits([[1, 5, 9, 270]])).all()
    expected = small_tokenizer()
    assert isinstance(tokenizer, BpeTokenizer)
    assert (tokenizer.pieces, tokenizer.scores) == (expected.pieces, expected.scores)
    assert tokenizer.encode("abba ☃") == expected.encode("abba ☃")


def test_what_was_loaded_is_written_with_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    model, tokenizer, form = quantized_file.load(whole)
    quantized_file.save(model, tokenizer, again, form)
    assert again.read_bytes() == whole.read_bytes()


def test_special_tokens_and_bytes_in_other_places(model: QuantizedModel, tmp_path: Path) -> None:
    small = small_tokenizer()
    moved = BpeTokenizer(
        small.pieces, small.scores, bos=9, eos=7, byte_tokens=range(256, 0, -1), space_first=False
    )
    quantized_file.save(model, moved, tmp_path / "m")
    _, found, form = quantized_file.load(tmp_path / "m")
    assert form == CONTINUATION
    assert (found.bos, found.stops) == (9, {7, 9})
    assert found.encode("a☃") == moved.encode("a☃") != small.encode("a☃")


def test_a_tokenizer_json(model: QuantizedModel, tmp_path: Path) -> None:
    data = write_tokenizer_json(tmp_path / "tokenizer.json").read_bytes()
    tokenizer = HuggingFaceTokenizer(data, 1, [1, 2, 40], VOCABULARY)
    quantized_file.save(model, tokenizer, tmp_path / "m")
    _, found, _ = quantized_file.load(tmp_path / "m")
    assert isinstance(found, HuggingFaceTokenizer)
    assert (found.data, found.bos, found.stops) == (data, 1, {1, 2, 40})
    assert found.encode("abba ☃") == tokenizer.encode("abba ☃")


def test_any_tool_for_safetensors_reads_it(model: QuantizedModel, whole: Path) -> None:
    assert quantized_file.is_quantized(whole.read_bytes()[:64])
    with safe_open(whole, framework="numpy") as file:
        assert (file.get_tensor("layers.1.down.weight") == model.layers[1].down.weight).all()
        fields = json.loads(file.metadata()[quantized_file.METADATA])
    assert fields["version"] == 3 and fields["numbers"]["config.dim"] == WORDY.dim


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 30))
def test_truncated_files(whole: Path, cut: int) -> None:
    data = whole.read_bytes()
    path = whole.with_name("cut")
    path.write_bytes(data[: cut % len(data)])
    assert refusal(path).startswith("a damaged quantized model: ")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 255))
def test_no_changed_byte_is_overlooked(whole: Path, at: int, flipped: int) -> None:
    data = bytearray(whole.read_bytes())
    header = int.from_bytes(data[:8], "little") + 8
    # Half of the bytes in the header, which is small, and half anywhere.
    at = at % header if at % 2 else at % len(data)
    data[at] ^= flipped
    path = whole.with_name("damaged")
    path.write_bytes(data)
    try:
        found, tokenizer, _ = quantized_file.load(path)
    except ModelError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        return
    # JSON has spaces, and names of tensors that nothing reads may change.
    expected, same, _ = quantized_file.load(whole)
    assert found.sha256() == expected.sha256()
    assert tokenizer.encode("abba ☃") == same.encode("abba ☃")


def test_a_changed_weight_is_told(whole: Path, tmp_path: Path) -> None:
    data = bytearray(whole.read_bytes())
    data[-1] ^= 1
    (tmp_path / "m").write_bytes(data)
    message = "damaged, or made for other arithmetic: quantize the model again"
    assert refusal(tmp_path / "m") == message


def test_other_tables_are_told(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host.model.quantized.exp_table", lambda: np.zeros(4, np.int64))
    message = "damaged, or made for other arithmetic: quantize the model again"
    assert refusal(whole) == message


def test_another_version_is_told(whole: Path, tmp_path: Path) -> None:
    data = whole.read_bytes().replace(rb"{\"version\": 3", rb"{\"version\": 2")
    (tmp_path / "m").write_bytes(data)
    message = "a quantized model of version 2, not 3: quantize the model again"
    assert refusal(tmp_path / "m") == message


def test_where_it_cannot_write(model: QuantizedModel, tmp_path: Path) -> None:
    path = tmp_path / "none" / "model"
    with pytest.raises(ModelError) as caught:
        quantized_file.save(model, small_tokenizer(), path)
    assert str(caught.value) == f"{path}: cannot write: No such file or directory"
    with pytest.raises(ModelError, match="cannot write: Is a directory"):
        quantized_file.save(model, small_tokenizer(), tmp_path)


def test_a_file_stays_until_the_new_one_is_whole(
    model: QuantizedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    path.write_text("before")

    def fill_disk(file: BinaryIO, arrays: object, metadata: object) -> None:
        file.write(bytes(100))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(quantized_file, "write_arrays", fill_disk)
    with pytest.raises(ModelError, match="cannot write: No space left on device"):
        quantized_file.save(model, small_tokenizer(), path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
