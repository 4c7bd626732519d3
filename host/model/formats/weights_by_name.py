"""A model's weights from tensors that go by the names of another program's files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from host.errors import ModelError
from host.model.checkpoint import Config, FloatArray, weight_shapes


def gather_weights(
    config: Config,
    names: Mapping[str, str],
    stored: Collection[str],
    tensor: Callable[[str], FloatArray],
    shared: bool,
) -> dict[str, FloatArray]:
    """Gathers every weight of `config`, each layer's tensors stacked.

    names: of each weight the tensor's name, with {layer} where each layer has one; stored: the
    names that the file has, all of which must be known; tensor: gives one by its name; shared:
    whether the classifier is the embedding, and a tensor for it is left alone.

    Raises ModelError for a tensor that is missing, has another shape, or has no place in a model
    of this architecture.
    """
    shapes = weight_shapes(config)
    _check_stored(config, names, stored)

    def gather(weight: str) -> FloatArray:
        layered = "{layer}" in names[weight]
        shape = shapes[weight][1:] if layered else shapes[weight]
        parts = []
        for name in _expand_name(names[weight], config):
            if name not in stored:
                raise ModelError(f"tensor {name} is missing")
            parts.append(tensor(name))
            if parts[-1].shape != shape:
                raise ModelError(f"tensor {name} has shape {parts[-1].shape}, expected {shape}")
        return np.stack(parts) if layered else parts[0]

    weights = {w: gather(w) for w in shapes if w != "classifier" or not shared}
    if shared:
        weights["classifier"] = weights["embedding"]
    return weights


def check_tensors(
    config: Config,
    names: Mapping[str, str],
    stored: Mapping[str, tuple[int, ...]],
    shared: bool,
) -> None:
    """Raises ModelError as `gather_weights` does, by the shapes of what is stored alone."""
    _check_stored(config, names, stored)
    for weight, shape in weight_shapes(config).items():
        if weight == "classifier" and shared:
            continue
        expected = shape[1:] if "{layer}" in names[weight] else shape
        for name in _expand_name(names[weight], config):
            if name not in stored:
                raise ModelError(f"tensor {name} is missing")
            if stored[name] != expected:
                raise ModelError(f"tensor {name} has shape {stored[name]}, expected {expected}")


def _check_stored(config: Config, names: Mapping[str, str], stored: Collection[str]) -> None:
    if config.layers > len(stored):
        raise ModelError(f"{config.layers} layers, but only {len(stored)} tensors")
    _check_names(
        {name for weight in names for name in _expand_name(names[weight], config)}, stored
    )


def _expand_name(name: str, config: Config) -> list[str]:
    """Returns the name of each layer's tensor, or of the only one."""
    if "{layer}" not in name:
        return [name]
    return [name.format(layer=layer) for layer in range(config.layers)]


def _check_names(known: Collection[str], stored: Collection[str]) -> None:
    for name in sorted(stored):
        if name.endswith(".bias"):
            raise ModelError(f"it has biases ({name}), which are not supported")
    for name in sorted(stored):
        if name not in known:
            raise ModelError(f"tensor {name} is not known: this variant is not supported")
