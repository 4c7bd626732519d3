"""Hugging Face folders: logits as transformers computes them, and fields and their defaults."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from host.model.architectures import find_by_config
from host.model.architectures.config_json import ConfigJson
from host.model.checkpoint import Checkpoint, Config, weight_shapes
from host.model.float_model import FloatModel
from host.model.formats import huggingface
from tests.host.huggingface_files import CONFIG, changed, refusal
from tests.host.model_files import (
    SHAPES,
    huggingface_tensors,
    plain_logits,
    write_huggingface,
)
from tests.host.tiny import random_checkpoint

TOKENS = [1, 7, 39, 0, 7, 21, 5, 5, 12]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_huggingface(random_checkpoint(CONFIG, shared=False), tmp_path / "model")


def assert_equal(found: Checkpoint, expected: Checkpoint) -> None:
    assert found.config == expected.config
    assert found.shared_classifier == expected.shared_classifier
    for name in weight_shapes(expected.config):
        assert getattr(found, name).tobytes() == getattr(expected, name).tobytes(), name


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("config", SHAPES, ids=str)
def test_logits_are_those_of_the_library(config: Config, shared: bool, tmp_path: Path) -> None:
    config = replace(config, rope_theta=500.0, norm_eps=1e-3)
    folder = write_huggingface(random_checkpoint(config, shared), tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    expected = plain_logits(config, tensors, TOKENS)
    logits = FloatModel(huggingface.load(folder)).logits(TOKENS)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(logits, expected, rtol=1e-9, atol=1e-11)
    # A rope that turned other pairs, or none, would be seen.
    swapped = dict(tensors)
    for name, tensor in tensors.items():
        if name.endswith("k_proj.weight"):
            swapped[name] = tensor[::-1]
    assert np.abs(plain_logits(config, swapped, TOKENS) - expected).max() > 1e-3


@pytest.mark.parametrize("config", SHAPES, ids=str)
def test_weights_come_back_bit_for_bit(config: Config, tmp_path: Path) -> None:
    for shared in (True, False):
        original = random_checkpoint(config, shared)
        assert_equal(huggingface.load(write_huggingface(original, tmp_path / "m")), original)


def test_half_precision_of_both_kinds_and_doubles(folder: Path) -> None:
    original = huggingface.load(folder)
    tensors = load_file(folder / "model.safetensors")
    path = folder / "model.safetensors"
    save_file({name: tensor.astype(np.float16) for name, tensor in tensors.items()}, path)
    halves = huggingface.load(folder)
    assert halves.w1.dtype == np.float32
    assert (halves.w1 == original.w1.astype(np.float16)).all()
    save_file({name: tensor.astype(np.float64) for name, tensor in tensors.items()}, path)
    assert_equal(huggingface.load(folder), original)
    # bfloat16: the upper half of a float32.
    header: dict[str, object] = {}
    body = b""
    for name, tensor in tensors.items():
        upper = (tensor.view(np.uint32) >> 16).astype("<u2").tobytes()
        ends = [len(body), len(body) + len(upper)]
        header[name] = {"dtype": "BF16", "shape": tensor.shape, "data_offsets": ends}
        body += upper
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    brain = huggingface.load(folder)
    assert (brain.w2.view(np.uint32) == original.w2.view(np.uint32) & 0xFFFF0000).all()
    save_file({name: tensor.astype(np.int8) for name, tensor in tensors.items()}, path)
    assert refusal(folder).endswith("holds I8, expected BF16, F64, F32, F16")


def test_shards_by_an_index(folder: Path) -> None:
    original = huggingface.load(folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    file_of = {name: f"model-{i % 3 + 1:05}-of-00003.safetensors" for i, name in enumerate(names)}
    for file in set(file_of.values()):
        save_file({n: tensors[n] for n in names if file_of[n] == file}, folder / file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": file_of}))
    assert_equal(huggingface.load(folder), original)
    second = "model-00002-of-00003.safetensors"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(names, second)}))
    assert second in refusal(folder) and "which the index puts there" in refusal(folder)
    index.write_text(json.dumps({"weight_map": dict.fromkeys(names, "../x.safetensors")}))
    assert refusal(folder) == "model.safetensors.index.json has no weight_map of files beside it"
    index.write_text(json.dumps({"weight_map": file_of}))
    (folder / second).unlink()
    assert refusal(folder) == f"cannot read {second}: No such file or directory"


def test_defaults_of_fields_that_are_absent(tmp_path: Path) -> None:
    config = Config(24, 10, 2, 3, 3, 40, 2048, 10000.0, 1e-6)
    folder = write_huggingface(random_checkpoint(config), tmp_path / "m")
    path = folder / "config.json"
    fields = json.loads(path.read_text())
    for name in ("num_key_value_heads", "max_position_embeddings", "rope_theta", "rms_norm_eps"):
        del fields[name]
    path.write_text(json.dumps(fields))
    assert huggingface.load(folder).config == config


def test_rope_parameters_of_newer_files(folder: Path) -> None:
    changed(folder, rope_parameters={"rope_theta": 250000.0, "rope_type": "default"})
    assert huggingface.load(folder).config.rope_theta == 250000.0
    changed(folder, rope_parameters="default", rope_theta=300.0)
    assert huggingface.load(folder).config.rope_theta == 300.0
    changed(folder, rope_parameters={"rope_theta": 1.0, "rope_type": "yarn"})
    assert refusal(folder) == "rope scaling yarn is not supported"


MISTRAL = {"architectures": ["MistralForCausalLM"], "model_type": "mistral"}


@pytest.mark.parametrize("window", [None, 0, 16, 4096])
def test_mistral_is_llama_where_its_window_holds_the_whole_context(
    folder: Path, window: int | None
) -> None:
    expected = huggingface.load(folder)
    found = huggingface.load(changed(folder, **MISTRAL, sliding_window=window))
    assert found.config == expected.config and found.config.context == 16
    for name in weight_shapes(CONFIG):
        assert getattr(found, name).tobytes() == getattr(expected, name).tobytes(), name
    assert huggingface.HuggingFaceModel(folder).architecture().name == "Mistral"


def test_a_mistral_with_a_smaller_window_is_refused(folder: Path) -> None:
    message = "a sliding window of {} positions is not supported with a context of {}: "
    changed(folder, **MISTRAL, sliding_window=15)
    assert refusal(folder).startswith(message.format(15, 16))
    changed(folder, max_position_embeddings=8192)
    fields = json.loads((folder / "config.json").read_text())
    del fields["sliding_window"]  # which then is 4096, as in transformers
    (folder / "config.json").write_text(json.dumps(fields))
    assert refusal(folder).startswith(message.format(4096, 8192))


def test_mistrals_defaults(folder: Path) -> None:
    fields = json.loads((folder / "config.json").read_text())
    fields |= {**MISTRAL, "num_attention_heads": 16, "head_dim": 4, "sliding_window": None}
    for name in ("num_key_value_heads", "max_position_embeddings"):
        del fields[name]
    config = find_by_config(ConfigJson(fields)).read_config(ConfigJson(fields))
    assert (config.kv_heads, config.context) == (8, 131072)


@pytest.mark.parametrize("head_dim", [4, 24])
def test_heads_of_a_size_of_their_own(head_dim: int, tmp_path: Path) -> None:
    config = replace(CONFIG, head_dim=head_dim)
    original = random_checkpoint(config)
    folder = write_huggingface(original, tmp_path / "model", head_dim=head_dim)
    found = huggingface.load(folder)
    assert found.config == config
    for name in weight_shapes(config):
        assert getattr(found, name).tobytes() == getattr(original, name).tobytes(), name
    expected = plain_logits(config, huggingface_tensors(original), TOKENS)
    np.testing.assert_allclose(FloatModel(found).logits(TOKENS), expected, rtol=1e-9, atol=1e-11)


def test_a_tied_model_may_store_its_classifier_all_the_same(folder: Path) -> None:
    assert huggingface.load(changed(folder, tie_word_embeddings=True)).shared_classifier
    assert not huggingface.load(changed(folder, tie_word_embeddings=False)).shared_classifier


def test_rope_frequencies_of_old_files_are_left_alone(folder: Path) -> None:
    path = folder / "model.safetensors"
    extra = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.zeros(4, np.float32)}
    save_file({**load_file(path), **extra}, path)
    huggingface.load(folder)


def test_the_names_of_tensors_are_all_there() -> None:
    checkpoint = random_checkpoint(CONFIG, shared=False)
    assert len(huggingface_tensors(checkpoint)) == 3 + 9 * CONFIG.layers
