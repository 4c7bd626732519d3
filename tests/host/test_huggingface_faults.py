"""Hugging Face folders that are damaged, or that ask for what is not supported."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from host.model.formats import huggingface
from tests.host.huggingface_files import CONFIG, changed, refusal
from tests.host.model_files import (
    write_huggingface,
)
from tests.host.tiny import random_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_huggingface(random_checkpoint(CONFIG, shared=False), tmp_path / "model")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architectures": ["Qwen3NextForCausalLM"], "model_type": "qwen3_next"},
         "architecture Qwen3NextForCausalLM is not supported: Llama, Mistral and Qwen3 are"),
        ({"architectures": ["LlamaForSequenceClassification"]},
         "architecture LlamaForSequenceClassification is not supported: Llama, Mistral and Qwen3"
         " are"),
        ({"model_type": "gemma"},
         "architecture gemma is not supported: Llama, Mistral and Qwen3 are"),
        ({"model_type": None}, "no architecture is named: Llama, Mistral and Qwen3 are supported"),
        ({"architectures": None, "model_type": "qwen2"},
         "architecture qwen2 is not supported: Llama, Mistral and Qwen3 are"),
        ({"attention_bias": True}, "attention_bias is true, which is not supported"),
        ({"mlp_bias": True}, "mlp_bias is true, which is not supported"),
        ({"sliding_window": 4096}, "sliding_window is 4096, which is not supported"),
        ({"hidden_act": "gelu"}, "hidden_act is gelu, which is not supported"),
        ({"quantization_config": {"bits": 4}},
         'quantization_config is {"bits": 4}, which is not supported'),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8}},
         "rope scaling llama3 is not supported"),
        ({"rope_scaling": {"type": "linear", "factor": 2}},
         "rope scaling linear is not supported"),
        ({"head_dim": 16}, "tensor model.layers.0.self_attn.q_proj.weight has shape (64, 64),"
         " expected (128, 64)"),
        ({"head_dim": 7}, "head size 7 is odd, rope needs pairs"),
        ({"head_dim": "8"}, "config.json: head_dim is 8, expected a whole number"),
        ({"hidden_size": "wide"}, "config.json: hidden_size is wide, expected a whole number"),
        ({"num_hidden_layers": 0}, "layers must be 1 to 1048576, got 0"),
        ({"num_hidden_layers": 10**9}, "layers must be 1 to 1048576, got 1000000000"),
        ({"num_hidden_layers": 10**6}, "1000000 layers, but only 21 tensors"),
        ({"num_hidden_layers": 3}, "tensor model.layers.2.input_layernorm.weight is missing"),
        ({"num_hidden_layers": 1},
         "tensor model.layers.1.input_layernorm.weight is not known: this variant is not"
         " supported"),
        ({"intermediate_size": 54}, "tensor model.layers.0.mlp.gate_proj.weight has shape"
         " (53, 64), expected (54, 64)"),
        ({"rope_theta": "big"}, "config.json: rope_theta is big, expected a number"),
        ({"rope_theta": 10**400},
         f"config.json: rope_theta is 1{56 * '0'}..., too large a number"),
        ({"rope_theta": 0},
         "the rope base must be positive and epsilon at least 0, got 0 and 1e-05"),
        ({"rms_norm_eps": -1e-5},
         "the rope base must be positive and epsilon at least 0, got 10000 and -1e-05"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_named(
    folder: Path, fields: dict[str, object], message: str
) -> None:
    assert refusal(changed(folder, **fields)) == message


def test_plain_values_of_the_same_fields_are_no_objection(folder: Path) -> None:
    changed(folder, attention_bias=False, sliding_window=None, hidden_act="silu", head_dim=8,
            rope_scaling=None, partial_rotary_factor=1.0, pretraining_tp=1)  # fmt: skip
    huggingface.load(folder)


def test_biases_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    name = "model.layers.0.self_attn.q_proj.bias"
    save_file({**load_file(path), name: np.zeros(64, np.float32)}, path)
    assert refusal(folder) == f"it has biases ({name}), which are not supported"


def test_damaged_files(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for length in (0, 5, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert refusal(folder).startswith("model.safetensors is damaged or no safetensors file")
    path.unlink()
    assert refusal(folder).startswith("no model.safetensors or model.safetensors.index.json")
    (folder / "config.json").write_text('{"model_type": ')
    assert refusal(folder).startswith("config.json is no JSON file: ")
    (folder / "config.json").write_bytes(b"\xff\xfe")
    assert refusal(folder).startswith("config.json is no JSON file: ")
    (folder / "config.json").write_text("[" * 100_000)
    assert refusal(folder).startswith("config.json is no JSON file: maximum recursion depth")
    (folder / "config.json").write_text("[]")
    assert refusal(folder) == "config.json holds no JSON object"
    (folder / "config.json").unlink()
    assert refusal(folder) == "cannot read config.json: No such file or directory"


def test_weights_that_are_no_numbers(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["model.norm.weight"][3] = np.nan
    save_file(tensors, path)
    assert refusal(folder) == "final_norm holds values that are not finite numbers"
