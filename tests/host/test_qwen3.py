"""Qwen3: both kinds of files, floats as the paper has them, integers near them, and refusals."""

from pathlib import Path

import numpy as np
import pytest

from host.errors import ModelError
from host.model import loading
from host.model.cache import quantize_once
from host.model.float_model import FloatModel
from host.model.formats import llama2c, quantized_file
from host.model.quantization.quantize import quantize, sample_calibration
from host.model.reference import Reference
from host.parallel.sharded_model import ShardedModel
from tests.host.model_files import small_tokenizer
from tests.host.qwen3_files import (
    CONFIG,
    plain_logits,
    random_tensors,
    write_folder,
    write_gguf,
)
from tests.host.tiny import NORMED_HEADS, random_checkpoint
from tests.plans import tensor_plan

TOKENS = [1, 7, 39, 0, 7, 21, 5, 5, 12, 3, 3, 30]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["folder", "gguf"])
def test_logits_are_those_of_the_paper(tmp_path: Path, kind: str, tied: bool) -> None:
    tensors = random_tensors(tied=tied)
    write = {"folder": write_folder, "gguf": write_gguf}[kind]
    path = write(tmp_path / "m", tensors)
    assert loading.detect_architecture(path).name == "Qwen3"
    for weights in (loading.load_weights(path), loading.load_checkpoint(path)):
        assert (weights.config, weights.shared_classifier) == (CONFIG, tied)
        logits = FloatModel(weights).logits(TOKENS)
        expected = plain_logits(tensors, TOKENS)
        assert np.abs(expected).max() > 1
        np.testing.assert_allclose(logits, expected, rtol=1e-9, atol=1e-11)


def test_integers_are_close_to_floats_and_kept(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "m", random_tensors())
    weights = loading.load_weights(path)
    floats = FloatModel(weights)
    model = quantize(weights, floats.measure_ranges(sample_calibration(floats)))
    logits = Reference(model).logits([TOKENS])[0] * 2.0**-model.logit_exponent
    expected = floats.logits(TOKENS)
    error = np.abs(logits - expected).max() / np.abs(expected).max()
    assert error < 0.05
    assert (logits.argmax(-1) == expected.argmax(-1)).mean() > 0.9
    quantized_file.save(model, small_tokenizer(), tmp_path / "m.q")
    found, _, _ = quantized_file.load(tmp_path / "m.q")
    assert found.config == CONFIG and found.sha256() == model.sha256()
    assert loading.detect_architecture(tmp_path / "m.q").name == "Qwen3"
    assert found.layers[0].q_norm is not None


def test_norms_change_a_models_digest() -> None:
    changed = random_checkpoint(NORMED_HEADS)
    model = quantize(changed)
    assert changed.q_norm is not None
    changed.q_norm[0, 0] += 1
    assert quantize(changed).sha256() != model.sha256()


def test_shards_add_up_to_the_reference() -> None:
    model = quantize(random_checkpoint(NORMED_HEADS))
    sharded = ShardedModel.of(model, tensor_plan(model, 3))
    reference = Reference(model)
    x = np.random.default_rng(0).integers(-3000, 3000, (1, NORMED_HEADS.dim))
    for position in range(3):
        expected = reference.attention(1, x)
        assert (sum(sharded.attention(1, x, position)) == expected).all()
        reference.position += 1


def test_what_would_be_computed_otherwise_is_refused(tmp_path: Path) -> None:
    tensors = random_tensors()
    for number, (changed, message) in enumerate((
        ({"use_sliding_window": True}, "use_sliding_window is true, which is not supported"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "a sliding window"),
        ({"attention_bias": True}, "attention_bias is true"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4}}, "rope scaling yarn is not"),
        ({"model_type": "qwen3_moe", "architectures": None}, "architecture qwen3_moe is not"),
    )):  # fmt: skip
        folder = write_folder(tmp_path / str(number), tensors, **changed)
        with pytest.raises(ModelError, match=message):
            loading.load_weights(folder).layer(0)
    del tensors["model.layers.1.self_attn.k_norm.weight"]
    with pytest.raises(ModelError, match="k_norm.weight is missing"):
        loading.load_weights(write_folder(tmp_path / "m", tensors)).layer(0)
    with pytest.raises(ModelError, match="llama2.c version 0"):
        llama2c.save(random_checkpoint(NORMED_HEADS), tmp_path / "m.bin")


def test_the_defaults_of_config_json(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", random_tensors(), head_dim=None, hidden_size=24)
    with pytest.raises(ModelError, match=r"expected \(512, 24\)"):  # 4 heads of 128
        loading.load_weights(folder)


def test_a_model_is_quantized_once(tmp_path: Path) -> None:
    weights = random_checkpoint(NORMED_HEADS)
    source = loading.LoadedModel(weights, small_tokenizer())
    first = quantize_once(source, tmp_path)
    assert list(tmp_path.iterdir())
    assert quantize_once(source, tmp_path).sha256() == first.sha256()
