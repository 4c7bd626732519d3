"""Wrong files: each is named for what it is, with where the right one comes from."""

import gzip
import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path

import gguf
import numpy as np
import pytest

from host.errors import ModelError
from host.model import loading
from tests.host.model_files import (
    small_tokenizer,
    write_gguf,
    write_llama2c_tokenizer,
    write_tokenizer_json,
)
from tests.host.small_models import WORDY, write_model
from tests.host.tiny import random_checkpoint

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
PAGE = b"\n<!DOCTYPE html>\n<html><head><title>model.bin</title></head></html>"
# As sentencepiece's trainer writes it: pieces with their scores and types.
PIECES = b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02\n\x0c\n\x03<s>\x15\0\0\0\0\x18\x03"


def zipped(**files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return data.getvalue()


def tarred() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model"))
    return data.getvalue()


def arrays(save: object, *given: object) -> bytes:
    data = io.BytesIO()
    save(data, *given)  # type: ignore[operator]
    return data.getvalue()


FILES = {
    "pointer": (POINTER, "a Git LFS pointer, which stands for the file itself: run git lfs pull"),
    "page": (PAGE, "an HTML page: download the file itself"),
    "zip": (zipped(a_txt=b"x"), "a zip archive: unpack it, and give what is in it"),
    "torn zip": (zipped(a_txt=b"x")[:20], "a zip archive that is damaged or truncated"),
    "torch": (zipped(m__data_pkl=b"x"), "a PyTorch file (.bin, .pt or .pth): get the safetensors"),
    "old torch": (pickle.dumps(0x1950A86A20F9469CFC6C, 2), "a PyTorch file of an old version"),
    "pickle": (pickle.dumps({"a": 1}), "a Python pickle, as PyTorch wrote them: get"),
    "pickle 2": (pickle.dumps({"a": 1}, 2), "a Python pickle, as PyTorch wrote them: get"),
    "pieces": (PIECES, "a SentencePiece model (tokenizer.model): give tokenizer.json"),
    "ggml": (b"tjgg" + bytes(60), "a GGML file, of before GGUF: get the model's GGUF file"),
    "gzip": (gzip.compress(b"x"), "a gzip file: unpack it"),
    "tar": (tarred(), "a tar archive: unpack it"),
    "array": (arrays(np.save, np.zeros(3)), "a NumPy array: get"),
    "arrays": (arrays(np.savez, np.zeros(3)), "NumPy arrays (.npz): get"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(60), "an HDF5 file, as Keras writes it: get"),
    "lite": (b"\x1c\0\0\0TFL3" + bytes(60), "a TensorFlow Lite file: get"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(60), "a PNG picture"),
}


def refusal(*arguments: Path) -> str:
    with pytest.raises(ModelError) as caught:
        loading.load_model(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_models_and_tokenizers_that_are_other_files(tmp_path: Path, name: str) -> None:
    content, what = FILES[name]
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path}: not a model but {what}")
    model = write_model("llama2c", tmp_path, complete=False)
    assert refusal(model, path).startswith(f"{path}: not a tokenizer but {what}")
    (tmp_path / "tokenizer.bin").write_bytes(content)
    expected = f"{tmp_path / 'tokenizer.bin'}: not a tokenizer but {what}"
    assert refusal(model).startswith(expected)


@pytest.mark.parametrize("name", ["pointer", "page"])
def test_files_of_a_folder_that_are_others(tmp_path: Path, name: str) -> None:
    content, what = FILES[name]
    for file, message in (
        ("config.json", f"config.json is no JSON file but {what}"),
        ("model.safetensors", f"model.safetensors is not a safetensors file but {what}"),
        ("tokenizer.json", f"not a tokenizer but {what}"),
    ):
        folder = write_model("folder", tmp_path)
        (folder / file).write_bytes(content)
        assert message in refusal(folder)


def test_folders_of_other_formats(tmp_path: Path) -> None:
    folder = write_model("folder", tmp_path, complete=False)
    (folder / "tokenizer.model").write_bytes(PIECES)
    expected = "No such file or directory, only its parts: transformers.AutoTokenizer"
    assert expected in refusal(folder)
    write_tokenizer_json(folder / "tokenizer.json")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    expected = f"{folder}: its weights are in PyTorch's files alone: get the safetensors files"
    assert refusal(folder).startswith(expected)
    (folder / "config.json").unlink()
    (folder / "params.json").write_text("{}")
    assert refusal(folder).startswith(f"{folder}: weights in Meta's own format: get the model in")
    (folder / "adapter_config.json").write_text("{}")
    assert refusal(folder).startswith(f"{folder}: a LoRA adapter, not a model: merge it")
    (folder / "m.gguf").touch()
    assert refusal(folder) == (
        f"{folder}: a folder: give the GGUF file in it, as {folder / 'm.gguf'}"
    )


def test_a_tokenizer_in_the_place_of_a_model(tmp_path: Path) -> None:
    path = write_llama2c_tokenizer(tmp_path / "tokenizer.bin")
    assert refusal(path) == (
        f"{path}: a llama2.c tokenizer: give it with --tokenizer, beside --model"
    )


def test_a_part_of_a_tokenizer_in_the_place_of_it(tmp_path: Path) -> None:
    model = write_model("llama2c", tmp_path, complete=False)
    path = tmp_path / "vocab.json"
    path.write_text(json.dumps({"a": 1}))
    assert "give tokenizer.json itself" in refusal(model, path)


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ({"general.type": "adapter"}, "it holds no model but what it calls adapter"),
        ({"split.count": 3}, "it is one of 3 parts of a model: merge them, as llama.cpp's"),
    ],
)
def test_gguf_files_that_hold_no_whole_model(
    tmp_path: Path, extra: dict[str, object], what: str
) -> None:
    path = write_gguf(
        random_checkpoint(WORDY), tmp_path / "m.gguf", small_tokenizer(), extra=extra
    )
    assert refusal(path).startswith(f"{path}: {what}")


def test_an_imatrix_is_no_model(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "none")
    writer.add_string("general.type", "imatrix")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert "it holds no model but what it calls imatrix" in refusal(tmp_path / "m.gguf")
