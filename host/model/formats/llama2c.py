"""Checkpoints of llama2.c: versions 0 and 2 are read, version 0 is written.

Version 0 (https://github.com/karpathy/llama2.c, `legacy_export` in export.py), little-endian:
seven int32 (dim, hidden dim, layers, heads, KV heads, vocabulary size, context; a negative
vocabulary size says that the classifier is a matrix of its own), then float32 weights in the
order of `checkpoint.weight_shapes`, with two tables of rope cosines and sines, which readers
ignore today, before the classifier. A classifier that shares the embedding is not stored.

Version 2 (`version2_export` there, `read_checkpoint` in runq.c) begins with 256 bytes: the magic
number, the version, the same seven int32 (the vocabulary size positive), a byte that is 1 if
the classifier shares the embedding, and int32 group size, unaligned. Then come the norms in
float32 and the matrices in int8, each (of each layer) followed by a float32 scale for every group
of that many weights.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from host.errors import ModelError
from host.model.architectures import LLAMA, Architecture
from host.model.checkpoint import LARGEST_DIMENSION, Checkpoint, Config, FloatArray, weight_shapes
from host.model.files import file_size, naming, open_file
from host.model.outline import Outline
from host.model.tokenizers.bpe import BpeTokenizer

HEADER = struct.Struct("<7i")
FLOAT_BYTES = 4
# Newer versions of the format start with this magic number, "ak42" read as a number.
VERSIONED_MAGIC = 0x616B3432
VERSIONED_HEADER = struct.Struct("<Ii7iBi")
VERSIONED_HEADER_SIZE = 256
NORMS = ("attention_norm", "ffn_norm", "final_norm")
MATRICES = ("embedding", "wq", "wk", "wv", "wo", "w1", "w2", "w3", "classifier")


class Llama2cModel:
    """A checkpoint's file. All methods raise ModelError, which does not name the file."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def architecture(self) -> Architecture:
        """Returns Llama: the format holds no other."""
        return LLAMA

    def outline(self) -> Outline:
        """Returns the outline of the model, from the header, if the file has the length that the
        header implies."""
        with _opened(self._path) as file:
            start = file.read(VERSIONED_HEADER_SIZE)
            if _is_versioned(start):
                config, shared, group = _parse_version_2(start)
                needed = _size_version_2(config, shared, group)
            else:
                config, shared = _parse_version_0(start)
                needed = _size_version_0(config, shared)
            _check_size(file, needed)
            return Outline(config)

    def tokenizer(self, vocab_size: int) -> BpeTokenizer:
        """Returns the tokenizer beside the file, for a model with `vocab_size` tokens."""
        for name in (f"tok{vocab_size}.bin", "tokenizer.bin"):
            if (self._path.parent / name).exists():
                return BpeTokenizer.load(self._path.parent / name, vocab_size)
        names = f"tok{vocab_size}.bin or tokenizer.bin"
        raise ModelError(f"no {names} beside {self._path}: give --tokenizer")

    def chat_template(self) -> None:
        """Returns None: these models continue texts."""
        return None

    def weights(self) -> Checkpoint:
        """Returns the weights in floats: these models are small."""
        return self.checkpoint()

    def checkpoint(self) -> Checkpoint:
        """Returns the weights in floats."""
        with _opened(self._path) as file:
            start = file.read(VERSIONED_HEADER_SIZE)
            versioned = _is_versioned(start)
            return _load_version_2(file, start) if versioned else _load_version_0(file, start)


def load(path: str | Path) -> Checkpoint:
    """Loads the checkpoint of version 0 or 2 at `path`; int8 weights become floats.

    Raises ModelError, naming the file and what is wrong with it.
    """
    with naming(path):
        return Llama2cModel(path).checkpoint()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with open_file(path) as file:
            yield file
    except OSError as error:
        raise ModelError(f"cannot read the model: {error.strerror}") from error


def _is_versioned(start: bytes) -> bool:
    return start[:4] == VERSIONED_MAGIC.to_bytes(4, "little")


def save(checkpoint: Checkpoint, path: str | Path) -> None:
    """Writes `checkpoint` as version 0.

    The inverse of `load`: every weight keeps its bits. The rope tables are computed again, so they
    may differ in the last bit from those that another program wrote; nothing reads them.
    Raises ModelError for what the format cannot express: another rope base, epsilon or head size.
    """
    config = checkpoint.config
    if config.q_dim != config.dim:
        raise ModelError(
            f"llama2.c version 0 means heads of dim / heads elements, this model has"
            f" {config.heads} of {config.head_dim} and dim {config.dim}"
        )
    if config.qk_norm:
        raise ModelError("llama2.c version 0 has no norms of queries and keys")
    if (config.rope_theta, config.norm_eps) != (Config.rope_theta, Config.norm_eps):
        raise ModelError(
            f"llama2.c version 0 means rope base {Config.rope_theta:g} and epsilon "
            f"{Config.norm_eps:g}, this model has {config.rope_theta:g} and {config.norm_eps:g}"
        )
    vocab = config.vocab_size if checkpoint.shared_classifier else -config.vocab_size
    sizes = (config.dim, config.hidden_dim, config.layers, config.heads, config.kv_heads)
    with open(path, "wb") as file:
        file.write(HEADER.pack(*sizes, vocab, config.context))
        for name in weight_shapes(config):
            if name == "classifier":
                file.write(_make_rope_tables(config).tobytes())
                if checkpoint.shared_classifier:
                    continue
            file.write(getattr(checkpoint, name).astype("<f4").tobytes())


def _parse_version_0(start: bytes) -> tuple[Config, bool]:
    """Returns the dimensions, and whether the classifier shares the embedding."""
    if not start:
        raise ModelError("the file is empty, expected a llama2.c checkpoint")
    if len(start) < HEADER.size:
        raise ModelError(f"truncated: {len(start)} bytes, the header alone needs {HEADER.size}")
    sizes = list(HEADER.unpack_from(start))
    shared, sizes[5] = sizes[5] > 0, abs(sizes[5])
    return _make_config(sizes), shared


def _load_version_0(file: BinaryIO, start: bytes) -> Checkpoint:
    config, shared = _parse_version_0(start)
    return Checkpoint(config=config, **_read_weights(file, config, shared))


def _parse_version_2(start: bytes) -> tuple[Config, bool, int]:
    """Returns the same, and the number of weights that share a scale."""
    if len(start) < VERSIONED_HEADER_SIZE:
        raise ModelError(
            f"truncated: {len(start)} bytes, the header alone needs {VERSIONED_HEADER_SIZE}"
        )
    _, version, *sizes, shared, group = VERSIONED_HEADER.unpack_from(start)
    if version != 2:
        raise ModelError(f"a llama2.c checkpoint of version {version}, expected version 0 or 2")
    return _make_config(sizes), bool(shared), group


def _load_version_2(file: BinaryIO, start: bytes) -> Checkpoint:
    config, shared, group = _parse_version_2(start)
    return Checkpoint(config=config, **_read_grouped_weights(file, config, shared, group))


def _make_config(sizes: list[int]) -> Config:
    dim, hidden_dim, layers, heads, kv_heads, vocab, context = sizes
    wrong = sum(not 1 <= size <= LARGEST_DIMENSION for size in sizes)
    if wrong > len(sizes) // 2:
        raise ModelError(
            "not a model: it begins as no llama2.c checkpoint, GGUF file or quantized model does"
        )
    if wrong:
        raise ModelError(
            f"not a llama2.c checkpoint: its header reads dim {dim}, hidden dim {hidden_dim}, "
            f"{layers} layers, {heads} heads, {kv_heads} KV heads, vocabulary {vocab}, "
            f"context {context}"
        )
    return Config(dim, hidden_dim, layers, heads, kv_heads, vocab, context)


def _check_size(file: BinaryIO, needed: int) -> None:
    """Raises ModelError unless a file has as many bytes as its header implies."""
    size = file_size(file)
    if size < needed:
        raise ModelError(f"truncated: {size} bytes, the header asks for {needed}")
    if size > needed:
        raise ModelError(f"{size - needed} bytes too many: {size}, the header asks for {needed}")


def _read_whole(file: BinaryIO, needed: int) -> bytes:
    """Reads a file. Raises ModelError unless it has as many bytes as its header implies."""
    _check_size(file, needed)
    file.seek(0)
    return file.read()


def _size_version_0(config: Config, shared: bool) -> int:
    """Bytes of the file."""
    sizes = {
        name: int(np.prod(shape, dtype=np.int64)) for name, shape in weight_shapes(config).items()
    }
    floats = sum(sizes.values()) + config.context * config.head_dim
    return HEADER.size + FLOAT_BYTES * (floats - (sizes["classifier"] if shared else 0))


def _matrix_sizes(config: Config, shared: bool, group: int) -> dict[str, int]:
    """Returns the number of weights of each stored matrix, or of each layer's."""
    shapes = weight_shapes(config)
    stored = [name for name in MATRICES if name != "classifier" or not shared]
    # Groups do not end with rows, but with the matrix of a layer.
    sizes = {name: int(np.prod(shapes[name][-2:], dtype=np.int64)) for name in stored}
    if group < 1 or any(size % group for size in sizes.values()):
        raise ModelError(f"the header's group size {group} does not divide every matrix")
    return sizes


def _size_version_2(config: Config, shared: bool, group: int) -> int:
    """Bytes of the file."""
    shapes = weight_shapes(config)
    needed = VERSIONED_HEADER_SIZE
    needed += FLOAT_BYTES * sum(int(np.prod(shapes[name])) for name in NORMS)
    for name, size in _matrix_sizes(config, shared, group).items():
        needed += _count_matrices(shapes[name]) * (size + FLOAT_BYTES * (size // group))
    return needed


def _read_weights(file: BinaryIO, config: Config, shared: bool) -> dict[str, FloatArray]:
    """Reads every weight by name, as read-only views of the file's floats."""
    shapes = weight_shapes(config)
    sizes = {name: int(np.prod(shape, dtype=np.int64)) for name, shape in shapes.items()}
    rope_floats = config.context * config.head_dim
    data = _read_whole(file, _size_version_0(config, shared))
    values = np.frombuffer(data, "<f4", offset=HEADER.size).astype(np.float32, copy=False)
    weights: dict[str, FloatArray] = {}
    offset = 0
    for name, shape in shapes.items():
        if name == "classifier":
            if shared:
                weights[name] = weights["embedding"]
                continue
            offset += rope_floats
        weights[name] = values[offset : offset + sizes[name]].reshape(shape)
        offset += sizes[name]
    return weights


def _read_grouped_weights(
    file: BinaryIO, config: Config, shared: bool, group: int
) -> dict[str, FloatArray]:
    """Reads every weight by name, of version 2."""
    shapes = weight_shapes(config)
    sizes = _matrix_sizes(config, shared, group)
    data = _read_whole(file, _size_version_2(config, shared, group))
    weights: dict[str, FloatArray] = {}
    offset = VERSIONED_HEADER_SIZE
    for name in NORMS:
        count = int(np.prod(shapes[name]))
        values = np.frombuffer(data, "<f4", count, offset)
        weights[name] = values.astype(np.float32, copy=False).reshape(shapes[name])
        offset += FLOAT_BYTES * count
    for name, size in sizes.items():
        count, each = _count_matrices(shapes[name]), size + FLOAT_BYTES * (size // group)
        raw = np.frombuffer(data, np.uint8, count * each, offset).reshape(count, each)
        integers = raw[:, :size].view(np.int8).reshape(count, -1, group)
        scales = raw[:, size:].copy().view("<f4").astype(np.float32, copy=False)
        with np.errstate(invalid="ignore", over="ignore"):  # Checkpoint refuses what comes of it
            weights[name] = (integers * scales[..., None]).reshape(shapes[name])
        offset += count * each
    if shared:
        weights["classifier"] = weights["embedding"]
    return weights


def _count_matrices(shape: tuple[int, ...]) -> int:
    """Returns how many matrices a weight of this shape is: one, or one for each layer."""
    return shape[0] if len(shape) == 3 else 1


def _make_rope_tables(config: Config) -> FloatArray:
    """Returns cosines, then sines: [2, context, head size / 2]."""
    pairs = np.arange(0, config.head_dim, 2, dtype=np.float32)
    frequencies = 1.0 / np.float32(config.rope_theta) ** (pairs / np.float32(config.head_dim))
    angles = np.outer(np.arange(config.context, dtype=np.float32), frequencies)
    return np.stack([np.cos(angles), np.sin(angles)]).astype("<f4")
