"""Models as Hugging Face folders have them: config.json and safetensors.

What is in config.json, and what the tensors are called, is a matter of the architecture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from host.errors import ModelError
from host.model.architectures import Architecture, find_by_config
from host.model.architectures.config_json import ConfigJson
from host.model.checkpoint import Checkpoint, FloatArray
from host.model.files import open_file, read_json
from host.model.formats.weights_by_name import gather_weights

# Old files keep rope's frequencies, which follow from the configuration.
_IGNORED = "rotary_emb.inv_freq"
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def load(folder: str | Path) -> Checkpoint:
    """Loads the model in `folder`. Raises ModelError, naming the folder and what is wrong."""
    folder = Path(folder)
    try:
        fields = ConfigJson(read_json(folder / "config.json"))
        architecture = find_by_config(fields)
        config = architecture.read_config(fields)
        tensors = _Tensors(folder)
        is_tied = fields.fields.get("tie_word_embeddings") is True
        names = architecture.huggingface_names()
        weights = gather_weights(config, names, tensors.names, tensors.tensor, is_tied)
        return Checkpoint(config=config, **architecture.arrange_huggingface(weights, config))
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from None


def read_architecture(folder: str | Path) -> Architecture:
    """Returns the architecture of the model in `folder`. Raises ModelError."""
    try:
        return find_by_config(ConfigJson(read_json(Path(folder) / "config.json")))
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from None


class _Tensors:
    """The tensors of all safetensors files of a folder, each file read when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, dict[str, Any]] = {}
        if (folder / "model.safetensors").exists():
            self._file_of = dict.fromkeys(self._tensors("model.safetensors"), "model.safetensors")
        elif (folder / "model.safetensors.index.json").exists():
            self._file_of = self._read_index()
        else:
            raise ModelError(
                "no model.safetensors or model.safetensors.index.json there: weights of another"
                " format must be saved as safetensors first"
            )
        self.names = [name for name in self._file_of if not name.endswith(_IGNORED)]

    def tensor(self, name: str) -> FloatArray:
        """Returns the tensor of this name, in float32. Raises ModelError where it is missing."""
        tensors = self._tensors(self._file_of[name])
        if name not in tensors:
            raise ModelError(
                f"{self._file_of[name]} has no tensor {name}, which the index puts there"
            )
        return _to_float32(name, tensors[name])

    def _read_index(self) -> dict[str, str]:
        """Returns the file of each tensor, as the index says."""
        files = read_json(self._folder / "model.safetensors.index.json").get("weight_map")
        if not isinstance(files, dict) or not all(
            isinstance(file, str) and Path(file).name == file for file in files.values()
        ):
            raise ModelError("model.safetensors.index.json has no weight_map of files beside it")
        return files

    def _tensors(self, file: str) -> dict[str, Any]:
        if file not in self._read:
            self._read[file] = _deserialize(self._folder / file)
        return self._read[file]


def _deserialize(path: Path) -> dict[str, Any]:
    """Reads shape, type and bytes of each tensor: numpy alone has no type for bfloat16."""
    import safetensors

    try:
        with open_file(path) as file:
            return dict(safetensors.deserialize(file.read()))
    except OSError as error:
        raise ModelError(f"cannot read {path.name}: {error.strerror}") from error
    except safetensors.SafetensorError as error:
        raise ModelError(f"{path.name} is damaged or no safetensors file: {error}") from None


def _to_float32(name: str, tensor: dict[str, Any]) -> FloatArray:
    kind, data = tensor["dtype"], tensor["data"]
    if kind == "BF16":  # the upper half of a float32
        values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    elif kind in _FLOATS:
        values = np.frombuffer(data, _FLOATS[kind]).astype(np.float32)
    else:
        raise ModelError(f"tensor {name} holds {kind}, expected BF16, {', '.join(_FLOATS)}")
    return values.reshape(tensor["shape"])
