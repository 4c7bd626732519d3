"""llama2.c's version 2: int8 in groups, against a writer that follows its export.py."""

import struct
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from host.errors import ModelError
from host.model.checkpoint import Config, weight_shapes
from host.model.float_model import FloatModel
from host.model.formats import llama2c
from tests.host.model_files import (
    SHAPES,
    grouped_checkpoint,
    huggingface_tensors,
    plain_logits,
    write_version_2,
)

CONFIG = SHAPES[1]


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        llama2c.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("group", [1, 8])
@pytest.mark.parametrize("config", SHAPES, ids=str)
def test_weights_that_int8_says_exactly_come_back_bit_for_bit(
    config: Config, group: int, shared: bool, tmp_path: Path
) -> None:
    original = grouped_checkpoint(config, shared, group)
    path = tmp_path / "v2.bin"
    write_version_2(original, path, group)
    loaded = llama2c.load(path)
    assert loaded.config == config and loaded.shared_classifier == shared
    for name in weight_shapes(config):
        assert getattr(loaded, name).tobytes() == getattr(original, name).tobytes(), name
    tokens = [1, 5, 39, 0, 17]
    expected = plain_logits(config, huggingface_tensors(original), tokens)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(FloatModel(loaded).logits(tokens), expected, rtol=1e-9, atol=1e-11)


def test_a_file_made_by_hand(tmp_path: Path) -> None:
    # dim 4, hidden 3, 2 layers, 2 heads, 1 KV head, vocabulary 2, context 5, groups of 4.
    header = struct.pack("<Ii7iBi", 0x616B3432, 2, 4, 3, 2, 2, 1, 2, 5, 1, 4).ljust(256, b"\0")
    body = np.arange(20, dtype="<f4").tobytes()  # two norms of two layers, and the last

    def matrix(count: int, first: int) -> bytes:
        integers = np.arange(first, first + count, dtype=np.int8)
        return integers.tobytes() + np.arange(1, count // 4 + 1, dtype="<f4").tobytes()

    sizes = [("embedding", 8), ("wq", 16), ("wk", 8), ("wv", 8), ("wo", 16), ("w1", 12),
             ("w2", 12), ("w3", 12)]  # fmt: skip
    body += matrix(8, 0)
    for place, (_, size) in enumerate(sizes[1:]):
        body += matrix(size, place) + matrix(size, -place)
    path = tmp_path / "hand.bin"
    path.write_bytes(header + body)
    model = llama2c.load(path)
    assert model.config == Config(4, 3, 2, 2, 1, 2, 5) and model.shared_classifier
    assert model.attention_norm.ravel().tolist() == list(range(8))
    assert model.final_norm.tolist() == [16, 17, 18, 19]
    assert model.embedding.tolist() == [[0, 1, 2, 3], [8, 10, 12, 14]]
    # Layer 1 of wv: integers from -2 on, the second group's scale is 2.
    assert model.wv[1].tolist() == [[-2, -1, 0, 1], [4, 6, 8, 10]]
    assert model.w2.shape == (2, 4, 3)
    assert model.w2[0].ravel()[8:].tolist() == [3 * v for v in range(13, 17)]


@pytest.mark.parametrize("shared", [True, False])
def test_truncated_files_and_bytes_too_many(tmp_path: Path, shared: bool) -> None:
    path = tmp_path / "v2.bin"
    write_version_2(grouped_checkpoint(CONFIG, shared), path, 8)
    whole = path.read_bytes()
    for length in (4, 44, 255):
        path.write_bytes(whole[:length])
        assert refusal(path) == f"truncated: {length} bytes, the header alone needs 256"
    for length in (256, 1000, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert refusal(path) == f"truncated: {length} bytes, the header asks for {len(whole)}"
    path.write_bytes(whole + b"ab")
    assert refusal(path).startswith("2 bytes too many")


@pytest.mark.parametrize("group", [0, -8, 7, 1 << 20])
def test_group_sizes_that_cannot_be(tmp_path: Path, group: int) -> None:
    path = tmp_path / "v2.bin"
    write_version_2(grouped_checkpoint(CONFIG, True), path, 8)
    data = bytearray(path.read_bytes())
    struct.pack_into("<i", data, 37, group)
    path.write_bytes(data)
    assert refusal(path) == f"the header's group size {group} does not divide every matrix"


def test_a_header_that_makes_no_sense(tmp_path: Path) -> None:
    path = tmp_path / "v2.bin"
    write_version_2(grouped_checkpoint(CONFIG, True), path, 8)
    data = bytearray(path.read_bytes())
    struct.pack_into("<i", data, 28, -40)
    path.write_bytes(data)
    assert refusal(path).startswith("not a llama2.c checkpoint: its header reads dim 64")
    assert "vocabulary -40" in refusal(path)


def test_scales_that_are_no_numbers(tmp_path: Path) -> None:
    path = tmp_path / "v2.bin"
    original = grouped_checkpoint(replace(CONFIG, layers=1), True)
    write_version_2(original, path, 8)
    data = bytearray(path.read_bytes())
    struct.pack_into("<f", data, len(data) - 4, float("inf"))
    data[len(data) - 4 * (CONFIG.hidden_dim * CONFIG.dim // 8) - 1] = 0  # infinity times 0
    path.write_bytes(data)
    with warnings.catch_warnings(action="error"):  # numpy would print one more line
        assert refusal(path) == "w3 holds values that are not finite numbers"
