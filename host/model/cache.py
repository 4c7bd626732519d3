"""Caches quantized models: calibration takes seconds, and gives the same result each time."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

from host.errors import ModelError
from host.model.checkpoint import count_parameters
from host.model.float_weights import FloatWeights
from host.model.loading import Check, LoadedModel, load_model
from host.model.quantized import QuantizedModel
from host.paths import cache_folder

_LARGEST = 300_000_000  # parameters: a larger file should not be cached without the user knowing
_HERE = Path(__file__).parent
# Modules that the integers depend on, besides the weights.
_QUANTIZER = (
    "arithmetic.py", "float_model.py", "float_text.py", "groups.py", "loading.py", "quantized.py",
    "ranges.py", "sampling.py",
)  # fmt: skip


def load_quantized(
    path: str | Path, tokenizer: str | Path | None = None, check: Check = lambda outline: None
) -> LoadedModel:
    """Loads a model as load_model does, and quantizes it. Raises ModelError."""
    source = load_model(path, tokenizer, check)
    return replace(source, weights=quantize_once(source))


def quantize_once(source: LoadedModel, folder: Path | None = None) -> QuantizedModel:
    """Returns the quantized model: quantized now, or read from `folder`, where it was kept before.

    folder: None for the user's cache; if it cannot be written, or a file in it is damaged, that
    only costs time. Raises ModelError as quantizing does.
    """
    weights = source.weights
    if isinstance(weights, QuantizedModel) or count_parameters(weights.config) > _LARGEST:
        return source.quantize()
    folder = cache_folder("models") if folder is None else folder
    path = folder / f"{_digest(weights, source.tokenizer.bos)}.model"
    with suppress(ModelError, OSError):
        if path.is_file():
            return load_model(path).quantize()
    model = source.quantize()
    with suppress(ModelError, OSError):
        folder.mkdir(parents=True, exist_ok=True)
        LoadedModel(model, source.tokenizer, source.prompt_format).save(path)
    return model


def _digest(weights: FloatWeights, bos: int) -> str:
    digest = hashlib.sha256(f"{quantizer_digest()} {weights.config} {bos}".encode())
    digest.update(weights.digest())
    return digest.hexdigest()[:32]


@cache
def quantizer_digest() -> str:
    """Returns the digest of the code that quantizes: another version may give other integers."""
    files = [*(_HERE / name for name in _QUANTIZER), *sorted(_HERE.glob("quantization/*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
