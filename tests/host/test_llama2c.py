"""Loading and saving llama2.c checkpoints, and what is said about bad ones."""

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from host.errors import ModelError
from host.model.checkpoint import Checkpoint, Config, weight_shapes
from host.model.formats import llama2c
from tests.host.tiny import TINY, WIDE_HEADS, random_checkpoint

HEADER_BYTES = 28


def _saved(tmp_path: Path, **options: bool) -> Path:
    path = tmp_path / "tiny.bin"
    llama2c.save(random_checkpoint(**options), path)
    return path


def _header(path: Path, *numbers: int) -> Path:
    """`path` with the first of its seven header numbers replaced."""
    data = path.read_bytes()
    path.write_bytes(struct.pack(f"<{len(numbers)}i", *numbers) + data[4 * len(numbers) :])
    return path


def _refusal(path: Path) -> str:
    """What loading `path` says, without the file's name, which must lead it, in one line."""
    with pytest.raises(ModelError) as caught:
        llama2c.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_weights_lie_in_the_order_of_the_format(tmp_path: Path) -> None:
    # dim 4, hidden 3, 1 layer, 2 heads, 1 KV head, vocabulary 5 unshared, context 2.
    sizes = [
        ("embedding", 5 * 4), ("attention_norm", 4), ("wq", 16), ("wk", 8), ("wv", 8), ("wo", 16),
        ("ffn_norm", 4), ("w1", 12), ("w2", 12), ("w3", 12), ("final_norm", 4),
        ("rope", 2 * 2), ("classifier", 5 * 4),
    ]  # fmt: skip
    total = sum(size for _, size in sizes)
    path = tmp_path / "counting.bin"
    path.write_bytes(
        struct.pack("<7i", 4, 3, 1, 2, 1, -5, 2) + np.arange(total, dtype="<f4").tobytes()
    )
    checkpoint = llama2c.load(path)
    assert checkpoint.config == Config(4, 3, 1, 2, 1, 5, 2)
    assert not checkpoint.shared_classifier
    first = 0
    for name, size in sizes:
        if name != "rope":
            weight = getattr(checkpoint, name)
            assert weight.ravel().tolist() == list(range(first, first + size)), name
        first += size


@pytest.mark.parametrize("shared", [True, False])
def test_a_saved_checkpoint_loads_with_every_bit(tmp_path: Path, shared: bool) -> None:
    original = random_checkpoint(shared=shared)
    path = tmp_path / "tiny.bin"
    llama2c.save(original, path)
    loaded = llama2c.load(path)
    assert loaded.config == original.config
    assert loaded.shared_classifier == shared
    for name in weight_shapes(TINY):
        assert getattr(loaded, name).tobytes() == getattr(original, name).tobytes(), name
    again = tmp_path / "again.bin"
    llama2c.save(loaded, again)
    assert again.read_bytes() == path.read_bytes()


def test_a_published_model_is_saved_as_it_was(shared_models: Path, tmp_path: Path) -> None:
    published = shared_models / "stories260K.bin"
    checkpoint = llama2c.load(published)
    config = checkpoint.config
    assert config == Config(64, 172, 5, 8, 4, 512, 512)
    assert (config.head_dim, config.kv_dim, config.heads_per_kv_head) == (8, 32, 2)
    assert checkpoint.shared_classifier
    llama2c.save(checkpoint, tmp_path / "copy.bin")
    before, after = published.read_bytes(), (tmp_path / "copy.bin").read_bytes()
    assert len(after) == len(before)
    # The rope tables at the end were rounded by another program; the rest is bit for bit.
    tables = len(before) - 4 * config.context * config.head_dim
    assert after[:tables] == before[:tables]
    written, computed = (np.frombuffer(data[tables:], "<f4") for data in (before, after))
    assert np.abs(written - computed).max() < 1e-7


def test_another_rope_base_cannot_be_saved(tmp_path: Path) -> None:
    checkpoint = random_checkpoint(replace(TINY, rope_theta=500000.0))
    with pytest.raises(ModelError, match="rope base 10000 .* this model has 500000"):
        llama2c.save(checkpoint, tmp_path / "other.bin")


def test_heads_of_another_size_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="this model has 6 of 8 and dim 20$"):
        llama2c.save(random_checkpoint(WIDE_HEADS), tmp_path / "other.bin")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert _refusal(tmp_path / "none.bin") == "cannot read the model: No such file or directory"
    assert _refusal(tmp_path) == "cannot read the model: Is a directory"


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.bin"
    path.touch()
    assert _refusal(path) == "the file is empty, expected a llama2.c checkpoint"


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("length", [1, HEADER_BYTES - 1, HEADER_BYTES, 1000, -4, -1])
def test_a_truncated_file_says_what_it_has_and_needs(
    tmp_path: Path, length: int, shared: bool
) -> None:
    path = _saved(tmp_path, shared=shared)
    data = path.read_bytes()
    path.write_bytes(data[:length])
    have = length % len(data)
    needed = len(data) if have >= HEADER_BYTES else HEADER_BYTES
    message = _refusal(path)
    assert message.startswith(f"truncated: {have} bytes, the header")
    assert message.endswith(str(needed))


def test_trailing_bytes(tmp_path: Path) -> None:
    path = _saved(tmp_path)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"abc")
    assert _refusal(path) == f"3 bytes too many: {size + 3}, the header asks for {size}"


@pytest.mark.parametrize(
    ("place", "number"),
    # At place 5, -1 is a vocabulary of one token, unshared.
    [
        (place, number)
        for place in range(7)
        for number in (0, -1, 2**31 - 1)
        if (place, number) != (5, -1)
    ],
)
def test_a_header_that_makes_no_sense(tmp_path: Path, place: int, number: int) -> None:
    numbers = [24, 10, 2, 6, 2, 40, 16]
    numbers[place] = number
    message = _refusal(_header(_saved(tmp_path), *numbers))
    assert message.startswith("not a llama2.c checkpoint: its header reads dim ")
    assert str(number) in message


def test_text_in_place_of_a_model(tmp_path: Path) -> None:
    path = tmp_path / "story.bin"
    path.write_text("Once upon a time there was a file that was no model at all.")
    assert _refusal(path).startswith("not a model: ")


def test_dimensions_that_contradict_each_other(tmp_path: Path) -> None:
    path = _saved(tmp_path)
    assert _refusal(_header(path, 24, 10, 2, 7)) == "dim 24 is not divisible by 7 heads"
    assert _refusal(_header(path, 24, 10, 2, 8)) == "head size 3 is odd, rope needs pairs"
    assert _refusal(_header(path, 24, 10, 2, 6, 4)) == "6 heads are not divisible by 4 KV heads"


def test_a_newer_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "v1.bin"
    path.write_bytes(b"24ka" + struct.pack("<i", 1) + bytes(300))
    assert _refusal(path) == "a llama2.c checkpoint of version 1, expected version 0 or 2"


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    path = _saved(tmp_path)
    data = bytearray(path.read_bytes())
    struct.pack_into("<f", data, HEADER_BYTES + 4 * (40 * 24 + 2 * 24), float("nan"))
    path.write_bytes(data)
    assert _refusal(path) == "wq holds values that are not finite numbers"


def test_a_checkpoint_refuses_other_shapes_and_types() -> None:
    good = random_checkpoint()
    weights = {name: getattr(good, name) for name in weight_shapes(TINY)}
    with pytest.raises(ModelError, match=r"wk has shape \(2, 24, 24\), expected \(2, 8, 24\)"):
        Checkpoint(config=TINY, **{**weights, "wk": weights["wq"]})
    with pytest.raises(ModelError, match="w1 holds float64, expected float32"):
        Checkpoint(config=TINY, **{**weights, "w1": weights["w1"].astype(np.float64)})
