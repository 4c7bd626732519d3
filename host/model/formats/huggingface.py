"""Reads models from Hugging Face folders: config.json and safetensors files.

Architectures know the fields of config.json and the names of tensors.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from host.errors import ModelError
from host.model.architectures import Architecture, find_by_config
from host.model.architectures.config_json import ConfigJson
from host.model.chat import ChatTemplate
from host.model.checkpoint import Checkpoint, Config, FloatArray
from host.model.files import naming, open_file
from host.model.float_weights import StreamedWeights
from host.model.formats.weights_by_name import check_tensors, gather_weights
from host.model.json_file import read_json
from host.model.other_files import name_file
from host.model.outline import Outline, count_bits
from host.model.tokenizers.huggingface import HuggingFaceTokenizer
from host.model.tokenizers.special_tokens import read_chat_template

# Old files have rope's frequencies too, which follow from the configuration.
_IGNORED = "rotary_emb.inv_freq"
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


class HuggingFaceModel:
    """A model's folder. All methods raise ModelError, which does not name the folder."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._fields = ConfigJson(read_json(self._folder / "config.json"))
        self._is_tied = self._fields.fields.get("tie_word_embeddings") is True

    def architecture(self) -> Architecture:
        """Returns the model's architecture."""
        return find_by_config(self._fields)

    def outline(self) -> Outline:
        """Returns the outline of the model, from config.json, the shapes of all tensors, and one
        layer's matrices."""
        config, names = self._config, self.architecture().huggingface_names()
        sampled = (
            (f"{weight} of layer 0", self._tensors.tensor(names[weight].format(layer=0)))
            for weight in ("wo", "w2")
        )
        return Outline(config, count_bits(sampled))

    def tokenizer(self, vocab_size: int) -> HuggingFaceTokenizer:
        """Returns the tokenizer in the folder, for a model with `vocab_size` tokens."""
        return HuggingFaceTokenizer.load(self._folder / "tokenizer.json", vocab_size)

    def chat_template(self) -> ChatTemplate | None:
        """Returns the chat template in the folder, None if it has none."""
        return read_chat_template(self._folder)

    def checkpoint(self) -> Checkpoint:
        """Returns the weights in floats."""
        config, architecture = self._config, self.architecture()
        names = architecture.huggingface_names()
        weights = gather_weights(config, names, self._tensors.tensor, self._is_tied)
        return Checkpoint(config=config, **architecture.arrange_huggingface(weights, config))

    def weights(self) -> StreamedWeights:
        """Returns the weights, each of which is read when it is needed."""
        architecture = self.architecture()
        return StreamedWeights(
            self._config,
            architecture.huggingface_names(),
            self._tensors.tensor,
            architecture.arrange_huggingface,
            self._tensors.files,
            shared=self._is_tied,
        )

    @cached_property
    def _config(self) -> Config:
        """The model's dimensions; the shapes of all tensors agree with them."""
        architecture = self.architecture()
        config = architecture.read_config(self._fields)
        names = architecture.huggingface_names()
        check_tensors(config, names, self._tensors.shapes, self._is_tied)
        return config

    @cached_property
    def _tensors(self) -> _Tensors:
        return _Tensors(self._folder)


def load(folder: str | Path) -> Checkpoint:
    """Loads the model in `folder`. Raises ModelError, naming the folder and what is wrong."""
    with naming(folder):
        return HuggingFaceModel(folder).checkpoint()


class _Tensors:
    """The tensors of all safetensors files of a folder, each file read when it is first needed.

    shapes: of all of them, by name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if (folder / "model.safetensors").exists():
            headers = {"model.safetensors": _read_header(folder / "model.safetensors")}
            self._file_of = dict.fromkeys(headers["model.safetensors"], "model.safetensors")
        elif (folder / "model.safetensors.index.json").exists():
            self._file_of = self._read_index()
            files = dict.fromkeys(self._file_of.values())
            headers = {file: _read_header(folder / file) for file in files}
        else:
            raise ModelError(_describe_absence(folder))
        self._headers = headers
        self.shapes = {
            name: tuple(self._find_entry(name)["shape"])
            for name in self._file_of
            if not name.endswith(_IGNORED)
        }

    def tensor(self, name: str) -> FloatArray:
        """Reads the tensor with this name, and no other; returns it in float32."""
        entry = self._find_entry(name)
        start, end = entry["data_offsets"]
        path = self._folder / self._file_of[name]
        try:
            with open_file(path) as file:
                file.seek(8 + int.from_bytes(file.read(8), "little") + start)
                data = file.read(end - start)
        except OSError as error:
            raise ModelError(f"cannot read {path.name}: {error.strerror}") from error
        if len(data) != end - start:
            raise ModelError(f"{path.name} is shorter than it was")
        return _to_float32(name, {**entry, "data": data})

    @property
    def files(self) -> list[Path]:
        """The files that hold the tensors."""
        return [self._folder / file for file in self._headers]

    def _find_entry(self, name: str) -> dict[str, Any]:
        file = self._file_of[name]
        if name not in self._headers[file]:
            raise ModelError(f"{file} has no tensor {name}, which the index puts there")
        entry: dict[str, Any] = self._headers[file][name]
        return entry

    def _read_index(self) -> dict[str, str]:
        """Returns the file of each tensor, as the index says."""
        files = read_json(self._folder / "model.safetensors.index.json").get("weight_map")
        if not isinstance(files, dict) or not all(
            isinstance(file, str) and Path(file).name == file for file in files.values()
        ):
            raise ModelError("model.safetensors.index.json has no weight_map of files beside it")
        return files


def _describe_absence(folder: Path) -> str:
    """Returns the error for a folder without safetensors files, by what it holds instead."""
    if any(folder.glob("pytorch_model*.bin")) or any(folder.glob("*.pth")):
        return (
            "its weights are in PyTorch's files alone: get the safetensors files of the same"
            " model, or save it so: model.save_pretrained(folder, safe_serialization=True)"
        )
    return (
        "no model.safetensors or model.safetensors.index.json there: weights of another"
        " format must be saved as safetensors first"
    )


def _read_header(path: Path) -> dict[str, dict[str, Any]]:
    """Reads shape, type and offset of each tensor, after the library has verified them."""
    import safetensors

    try:
        open_file(path).close()  # the library would wait for a pipe
        with safetensors.safe_open(path, framework="numpy"), open_file(path) as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except OSError as error:
        raise ModelError(f"cannot read {path.name}: {error.strerror or error}") from error
    except safetensors.SafetensorError as error:
        name = name_file(path)
        what = f"not a safetensors file but {name}" if name else (
            f"damaged or no safetensors file: {error}"
        )  # fmt: skip
        raise ModelError(f"{path.name} is {what}") from None
    header.pop("__metadata__", None)
    return dict(header)


def _to_float32(name: str, tensor: dict[str, Any]) -> FloatArray:
    kind, data = tensor["dtype"], tensor["data"]
    if kind == "BF16":  # the upper half of a float32
        values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    elif kind in _FLOATS:
        values = np.frombuffer(data, _FLOATS[kind]).astype(np.float32)
    else:
        raise ModelError(f"tensor {name} holds {kind}, expected BF16, {', '.join(_FLOATS)}")
    return values.reshape(tensor["shape"])
