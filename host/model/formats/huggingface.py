"""Llama models as Hugging Face folders have them: config.json and safetensors.

The fields of config.json and their defaults are those of `LlamaConfig` in the transformers
library, whose names of tensors these are too. Its q and k projections are laid out for a rope
that turns element i with element i + head size / 2; here rope turns adjacent pairs, so the rows
of those two are put in another order, which changes nothing else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from host.errors import ModelError
from host.model.checkpoint import Checkpoint, Config, FloatArray
from host.model.formats.reading import open_file, read_small_file
from host.model.formats.weights_by_name import gather_weights

_LAYER = "model.layers.{layer}."
NAMES = {
    "embedding": "model.embed_tokens.weight",
    "attention_norm": _LAYER + "input_layernorm.weight",
    "wq": _LAYER + "self_attn.q_proj.weight",
    "wk": _LAYER + "self_attn.k_proj.weight",
    "wv": _LAYER + "self_attn.v_proj.weight",
    "wo": _LAYER + "self_attn.o_proj.weight",
    "ffn_norm": _LAYER + "post_attention_layernorm.weight",
    "w1": _LAYER + "mlp.gate_proj.weight",
    "w2": _LAYER + "mlp.down_proj.weight",
    "w3": _LAYER + "mlp.up_proj.weight",
    "final_norm": "model.norm.weight",
    "classifier": "lm_head.weight",
}
# Old files keep rope's frequencies, which follow from the configuration.
_IGNORED = "rotary_emb.inv_freq"
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
# Where one of these is set to anything else, the model computes something else.
_PLAIN: dict[str, tuple[object, ...]] = {
    "hidden_act": (None, "silu", "swish"),
    "attention_bias": (None, False),
    "mlp_bias": (None, False),
    "sliding_window": (None,),
    "partial_rotary_factor": (None, 1),
    "quantization_config": (None,),
}


def load(folder: str | Path) -> Checkpoint:
    """The model in `folder`. Raises ModelError, naming the folder and what is wrong with it."""
    folder = Path(folder)
    try:
        fields = read_json(folder / "config.json")
        config = _config(fields)
        tensors = _Tensors(folder)
        shared = fields.get("tie_word_embeddings") is True
        weights = gather_weights(config, NAMES, tensors.names, tensors.tensor, shared)
        weights["wq"] = _adjacent_pairs(weights["wq"], config.heads)
        weights["wk"] = _adjacent_pairs(weights["wk"], config.kv_heads)
        return Checkpoint(config=config, **weights)
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from None


def read_json(path: Path) -> dict[str, Any]:
    """The object in the JSON file at `path`. Raises ModelError, naming the file without folder."""
    try:
        fields = json.loads(read_small_file(path))
    except OSError as error:
        raise ModelError(f"cannot read {path.name}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError too
        raise ModelError(f"{path.name} is no JSON file: {error}") from None
    if not isinstance(fields, dict):
        raise ModelError(f"{path.name} holds no JSON object")
    return fields


def _config(fields: dict[str, Any]) -> Config:
    _check_architecture(fields)
    for name, plain in _PLAIN.items():
        if fields.get(name) not in plain:
            raise ModelError(f"{name} is {_brief(fields[name])}, which is not supported")
    heads = _count(fields, "num_attention_heads")
    config = Config(
        dim=_count(fields, "hidden_size"),
        hidden_dim=_count(fields, "intermediate_size"),
        layers=_count(fields, "num_hidden_layers"),
        heads=heads,
        kv_heads=_count(fields, "num_key_value_heads", heads),
        vocab_size=_count(fields, "vocab_size"),
        context=_count(fields, "max_position_embeddings", 2048),
        rope_theta=_rope_theta(fields),
        norm_eps=_real(fields, "rms_norm_eps", 1e-6),
    )
    if _count(fields, "head_dim", config.head_dim) != config.head_dim:
        raise ModelError(
            f"head_dim is {fields['head_dim']}, expected hidden_size / num_attention_heads,"
            f" {config.head_dim}"
        )
    return config


def _check_architecture(fields: dict[str, Any]) -> None:
    names = fields.get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    kind, plain = fields.get("model_type"), name in (None, "LlamaForCausalLM")
    if kind != "llama" or not plain:
        found = (kind if plain else name) or "none is named"
        raise ModelError(f"architecture {_brief(found)}, expected LlamaForCausalLM")


def _rope_theta(fields: dict[str, Any]) -> float:
    """The base of rope's angles, which newer files have among rope_parameters."""
    for group in ("rope_parameters", "rope_scaling"):
        values = fields.get(group)
        if values is None:
            continue
        kind = values.get("rope_type", values.get("type")) if isinstance(values, dict) else values
        if kind not in (None, "default"):
            raise ModelError(f"rope scaling {_brief(kind)} is not supported")
    nested = fields.get("rope_parameters")
    return _real({**fields, **(nested if isinstance(nested, dict) else {})}, "rope_theta", 10000.0)


def _count(fields: dict[str, Any], name: str, default: int | None = None) -> int:
    value = fields.get(name)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool):
        raise ModelError(f"config.json: {name} is {_brief(value)}, expected a whole number")
    return value


def _real(fields: dict[str, Any], name: str, default: float) -> float:
    value = fields.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ModelError(f"config.json: {name} is {_brief(value)}, expected a number")
    try:
        return float(value)
    except OverflowError:
        raise ModelError(f"config.json: {name} is {_brief(value)}, too large a number") from None


def _brief(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


class _Tensors:
    """The tensors of all safetensors files of a folder, each file read when it is first asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, dict[str, Any]] = {}
        if (folder / "model.safetensors").exists():
            self._file_of = dict.fromkeys(self._tensors("model.safetensors"), "model.safetensors")
        elif (folder / "model.safetensors.index.json").exists():
            self._file_of = self._index()
        else:
            raise ModelError(
                "no model.safetensors or model.safetensors.index.json there: weights of another"
                " format must be saved as safetensors first"
            )
        self.names = [name for name in self._file_of if not name.endswith(_IGNORED)]

    def tensor(self, name: str) -> FloatArray:
        """The tensor of this name, in float32."""
        tensors = self._tensors(self._file_of[name])
        if name not in tensors:
            raise ModelError(
                f"{self._file_of[name]} has no tensor {name}, which the index puts there"
            )
        return _float32(name, tensors[name])

    def _index(self) -> dict[str, str]:
        """The file of each tensor, as the index says."""
        files = read_json(self._folder / "model.safetensors.index.json").get("weight_map")
        if not isinstance(files, dict) or not all(
            isinstance(file, str) and Path(file).name == file for file in files.values()
        ):
            raise ModelError("model.safetensors.index.json has no weight_map of files beside it")
        return files

    def _tensors(self, file: str) -> dict[str, Any]:
        if file not in self._read:
            self._read[file] = _deserialized(self._folder / file)
        return self._read[file]


def _deserialized(path: Path) -> dict[str, Any]:
    """Shape, type and bytes of each tensor: numpy alone has no type for bfloat16."""
    import safetensors

    try:
        with open_file(path) as file:
            return dict(safetensors.deserialize(file.read()))
    except OSError as error:
        raise ModelError(f"cannot read {path.name}: {error.strerror}") from error
    except safetensors.SafetensorError as error:
        raise ModelError(f"{path.name} is damaged or no safetensors file: {error}") from None


def _float32(name: str, tensor: dict[str, Any]) -> FloatArray:
    kind, data = tensor["dtype"], tensor["data"]
    if kind == "BF16":  # the upper half of a float32
        values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    elif kind in _FLOATS:
        values = np.frombuffer(data, _FLOATS[kind]).astype(np.float32)
    else:
        raise ModelError(f"tensor {name} holds {kind}, expected BF16, {', '.join(_FLOATS)}")
    return values.reshape(tensor["shape"])


def _adjacent_pairs(weight: FloatArray, heads: int) -> FloatArray:
    """Rows [layers, heads * head size, dim] with both elements of a pair beside each other."""
    layers, rows, columns = weight.shape
    halves = weight.reshape(layers, heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(2, 3).reshape(weight.shape)
