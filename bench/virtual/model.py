"""The model of virtual chips: small, because their kernels are plain Python."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from host.model.checkpoint import Checkpoint, Config, weight_shapes
from host.model.quantization.quantize import quantize
from host.model.quantized import QuantizedModel
from host.model.reference import Reference

CONFIG = Config(
    dim=16, hidden_dim=20, layers=2, heads=4, kv_heads=2, vocab_size=40, context=64
)


def draw_weights(
    config: Config, seed: int, deviation: Mapping[str, float], other: float = 1.0
) -> dict[str, NDArray[np.float64]]:
    """Draws weights such that a matrix has outputs of this standard deviation for inputs of unit
    size; deviation: by the name of the weights, `other` for those that it lacks."""
    random = np.random.default_rng(seed)
    weights = {}
    for name, shape in weight_shapes(config).items():
        values = random.standard_normal(shape)
        if name.endswith("norm"):
            values = 1 + 0.2 * values
        elif name != "embedding":
            values *= deviation.get(name, other) / np.sqrt(shape[-1])
        weights[name] = values
    return weights


def as_checkpoint(config: Config, weights: Mapping[str, NDArray[np.float64]]) -> Checkpoint:
    """Returns a checkpoint of these weights."""
    singles = {name: values.astype(np.float32) for name, values in weights.items()}
    return Checkpoint(config=config, **singles)


def small_model(config: Config = CONFIG, seed: int = 6) -> QuantizedModel:
    """Returns a model with random weights whose greedy texts do not soon repeat."""
    weights = draw_weights(config, seed, {"classifier": 4.0}, other=1.5)
    return quantize(as_checkpoint(config, weights))


def reference_text(model: QuantizedModel, prompt: list[int], steps: int) -> list[int]:
    """Returns the reference's greedy text: `steps` tokens in all."""
    reference = Reference(model, context=steps)
    tokens = list(prompt)
    logits = [reference.step([token])[0] for token in tokens][-1]
    while len(tokens) < steps:
        tokens.append(int(logits.argmax()))
        if len(tokens) < steps:
            logits = reference.step([tokens[-1]])[0]
    return tokens
