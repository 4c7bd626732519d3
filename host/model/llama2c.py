"""Checkpoints of llama2.c, "version 0": read and written.

The format (https://github.com/karpathy/llama2.c, `legacy_export` in export.py), little-endian:
seven int32 (dim, hidden dim, layers, heads, KV heads, vocabulary size, context; a negative
vocabulary size says that the classifier is a matrix of its own), then float32 weights in the
order of `checkpoint.weight_shapes`, with two tables of rope cosines and sines, which readers
ignore today, before the classifier. A classifier that shares the embedding is not stored.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from host.model.checkpoint import Checkpoint, Config, FloatArray, ModelError, weight_shapes

HEADER = struct.Struct("<7i")
FLOAT_BYTES = 4
# Newer versions of the format start with this magic number, "ak42" read as a number.
VERSIONED_MAGIC = 0x616B3432
# No model of this family comes near; a header beyond it is some other file read as numbers.
LARGEST_DIMENSION = 1 << 20


def load(path: str | Path) -> Checkpoint:
    """The model in the version 0 checkpoint at `path`.

    Raises ModelError, naming the file and what is wrong with it.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot read the model: {error.strerror}") from error
    try:
        config, shared = _header(data)
        return Checkpoint(config=config, **_weights(data, config, shared))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def save(checkpoint: Checkpoint, path: str | Path) -> None:
    """Writes `checkpoint` as version 0.

    The inverse of `load`: every weight keeps its bits. The rope tables are computed anew, so
    they may differ in the last bit from those that another program wrote; nothing reads them.
    Raises ModelError for a model that the format cannot say (another rope base or epsilon).
    """
    config = checkpoint.config
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
                file.write(_rope_tables(config).tobytes())
                if checkpoint.shared_classifier:
                    continue
            file.write(getattr(checkpoint, name).astype("<f4").tobytes())


def _header(data: bytes) -> tuple[Config, bool]:
    """The dimensions in the header, and whether the classifier shares the embedding."""
    if not data:
        raise ModelError("the file is empty, expected a llama2.c checkpoint")
    if len(data) < HEADER.size:
        raise ModelError(f"truncated: {len(data)} bytes, the header alone needs {HEADER.size}")
    numbers = HEADER.unpack_from(data)
    if numbers[0] == VERSIONED_MAGIC:
        raise ModelError(f"a llama2.c checkpoint of version {numbers[1]}, expected version 0")
    dim, hidden_dim, layers, heads, kv_heads, vocab, context = numbers
    sizes = (dim, hidden_dim, layers, heads, kv_heads, abs(vocab), context)
    if not all(1 <= size <= LARGEST_DIMENSION for size in sizes):
        raise ModelError(
            f"not a llama2.c checkpoint: its header reads dim {dim}, hidden dim {hidden_dim}, "
            f"{layers} layers, {heads} heads, {kv_heads} KV heads, vocabulary {vocab}, "
            f"context {context}"
        )
    return Config(*sizes), vocab > 0


def _weights(data: bytes, config: Config, shared: bool) -> dict[str, FloatArray]:
    """Every weight by name, read-only views of the file's floats."""
    shapes = weight_shapes(config)
    sizes = {name: int(np.prod(shape, dtype=np.int64)) for name, shape in shapes.items()}
    rope_floats = config.context * config.head_dim
    floats = sum(sizes.values()) + rope_floats - (sizes["classifier"] if shared else 0)
    needed = HEADER.size + FLOAT_BYTES * floats
    if len(data) < needed:
        raise ModelError(f"truncated: {len(data)} bytes, the header asks for {needed}")
    if len(data) > needed:
        raise ModelError(
            f"{len(data) - needed} bytes too many: {len(data)}, the header asks for {needed}"
        )
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


def _rope_tables(config: Config) -> FloatArray:
    """Cosines, then sines: [2, context, head size / 2]."""
    pairs = np.arange(0, config.head_dim, 2, dtype=np.float32)
    frequencies = 1.0 / np.float32(config.rope_theta) ** (pairs / np.float32(config.head_dim))
    angles = np.outer(np.arange(config.context, dtype=np.float32), frequencies)
    return np.stack([np.cos(angles), np.sin(angles)]).astype("<f4")
