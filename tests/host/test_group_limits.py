"""Limits of quantized models with weights in groups, whatever numbers a file holds."""

from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from host.errors import ModelError
from host.model.__main__ import main
from host.model.checkpoint import Checkpoint, Config
from host.model.float_model import FloatModel
from host.model.quantization.caches import narrow_caches
from host.model.quantization.group_rows import find_grouped
from host.model.quantization.massive import calibrate
from host.model.quantization.quantize import quantize
from host.model.quantized import QuantizedModel
from host.model.reference import Reference
from tests.host.grouped_models import MATRICES, grouped_checkpoint
from tests.host.model_files import small_tokenizer, write_gguf
from tests.host.quantized_limits import assert_limits
from tests.host.test_reference import PlainModel
from tests.host.tiny import random_checkpoint

VOCABULARY = 40
OTHERS = ("embedding", "classifier", "attention_norm", "ffn_norm", "final_norm")


@st.composite
def grouped_checkpoints(draw: st.DrawFn) -> Checkpoint:
    """Matrices in groups, of which some are of an odd scale, as far as float32 reaches."""
    kv_heads, group, layers = (draw(st.integers(1, 2)) for _ in range(3))
    heads, hidden = kv_heads * group, 32 * draw(st.integers(1, 4))
    head_dim = draw(st.sampled_from([32, 64] if heads % 2 else [16, 32, 64]))
    config = Config(
        32 * draw(st.integers(1, 3)), hidden, layers, heads, kv_heads, VOCABULARY, 16,
        head_dim=head_dim,
    )  # fmt: skip
    checkpoint = grouped_checkpoint(config, seed=draw(st.integers(0, 2**32 - 1)))
    if draw(st.booleans()):
        return checkpoint
    for name in draw(st.sets(st.sampled_from([*MATRICES, *OTHERS]), min_size=1, max_size=3)):
        weight = getattr(checkpoint, name)
        rows = weight.reshape(-1, 32)
        chosen = draw(st.sampled_from([slice(None), slice(0, 1), slice(1, None)]))
        with np.errstate(over="ignore"):
            scaled = rows[chosen] * np.float32(10.0 ** draw(st.integers(-45, 38)))
        rows[chosen] = np.clip(scaled, -3e38, 3e38)
    return checkpoint


def quantized(checkpoint: Checkpoint) -> QuantizedModel:
    tokens = np.random.default_rng(1).integers(0, VOCABULARY, (2, 12))
    grouped = find_grouped(checkpoint)
    return quantize(*calibrate(checkpoint, FloatModel(checkpoint), tokens, grouped=grouped))


def check_extremes(checkpoint: Checkpoint, *, int8_kv: bool) -> None:
    try:
        model = quantized(checkpoint)
    except ModelError as error:
        event("refused")
        assert "too large to quantize" in str(error) and "\n" not in str(error)
        return
    event("quantized")
    model = narrow_caches(model) if int8_kv else model
    assert_limits(model)
    tokens = [1, 39, 0]
    plain, logits = PlainModel(model), Reference(model).logits([tokens])[0].tolist()
    for token, expected in zip(tokens, logits, strict=True):
        assert plain.step(token) == expected


@pytest.mark.filterwarnings("error")
@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(grouped_checkpoints(), st.booleans())
def test_limits_hold_in_registers_or_the_model_is_refused(
    checkpoint: Checkpoint, int8_kv: bool
) -> None:
    check_extremes(checkpoint, int8_kv=int8_kv)


@pytest.mark.verify
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("error")
@settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(grouped_checkpoints(), st.booleans())
def test_limits_hold_for_many_models(checkpoint: Checkpoint, int8_kv: bool) -> None:
    check_extremes(checkpoint, int8_kv=int8_kv)


SCALES = {
    "infinite": [np.inf, -np.inf],
    "not a number": [np.nan],
    "largest": [65504, -65504],
    "subnormal": [6e-8, -6e-8],
    "zero": [0.0, -0.0],
    "mixed": [65504, 6e-8, 0, 1, -1],
}


def write_with_scales(path: Path, kind: str, tensor: str, scales: str) -> Path:
    """A file of which some blocks of a tensor have other scales, and least values, in float16."""
    config = Config(64, 96, 1, 2, 1, len(small_tokenizer().pieces), 16)
    of = GGMLQuantizationType[kind]
    checkpoint = random_checkpoint(config, shared=tensor != "output.weight")
    write_gguf(checkpoint, path, small_tokenizer(), of)
    reader = GGUFReader(path, "r+")
    (found,) = (each for each in reader.tensors if each.name == tensor)
    count = 1 if kind == "Q4_0" else 2
    blocks = found.data.reshape(-1, 16 + 2 * count)
    draw = np.random.default_rng(len(tensor))
    chosen = slice(None) if draw.random() < 0.5 else draw.integers(0, len(blocks), 3)
    values = draw.choice(np.array(SCALES[scales], np.float16), (len(blocks), count))
    blocks[chosen, : 2 * count] = values.view(np.uint8)[chosen]
    reader.data.flush()
    return path


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize(
    ("kind", "tensor"),
    [("Q4_0", "blk.0.attn_output.weight"), ("Q4_1", "blk.0.ffn_gate.weight")]
    + [
        pytest.param(kind, f"{name}.weight", marks=pytest.mark.verify)
        for kind in ("Q4_0", "Q4_1")
        for name in ("token_embd", "output", "blk.0.attn_q", "blk.0.ffn_down", "blk.0.ffn_up")
    ],
)
def test_any_scales_in_a_file_are_quantized_or_refused_in_one_line(
    kind: str, tensor: str, scales: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_with_scales(tmp_path / "m.gguf", kind, tensor, scales)
    output = tmp_path / "m.q"
    found = main(["quantize", str(path), "-o", str(output), "--weights", "groups"])
    printed = capsys.readouterr().err
    assert output.exists() == (found == 0)
    if scales in ("infinite", "not a number"):
        assert found == 1 and "holds values that are not finite numbers" in printed
        assert main(["inspect", str(path)]) == 1
        assert capsys.readouterr().err == printed
    if found:
        assert printed.startswith(f"error: {path}: ") and printed.count("\n") == 1
