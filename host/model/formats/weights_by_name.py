"""Gathers a model's weights from tensors that have the names of another program's files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from host.errors import ModelError
from host.model.checkpoint import Config, FloatArray, weight_shapes


def check_tensors(
    config: Config,
    names: Mapping[str, str],
    stored: Mapping[str, tuple[int, ...]],
    shared: bool,
) -> None:
    """Checks that the shapes of all tensors in a file are those that `config` implies.

    names: the tensor of each weight, with {layer} if each layer has one; stored: the shape of each
    tensor by its name; shared: whether the classifier is the embedding: then a tensor for it is
    ignored. Raises ModelError for a tensor that is missing, has another shape, or does not belong
    in a model of this architecture.
    """
    if config.layers > len(stored):
        raise ModelError(f"{config.layers} layers, but only {len(stored)} tensors")
    _check_names(
        {name for weight in names for name in _expand_name(names[weight], config)}, stored
    )
    for weight, shape in weight_shapes(config).items():
        if weight == "classifier" and shared:
            continue
        expected = shape[1:] if "{layer}" in names[weight] else shape
        for name in _expand_name(names[weight], config):
            if name not in stored:
                raise ModelError(f"tensor {name} is missing")
            if stored[name] != expected:
                raise ModelError(f"tensor {name} has shape {stored[name]}, expected {expected}")


def gather_weights(
    config: Config, names: Mapping[str, str], tensor: Callable[[str], FloatArray], shared: bool
) -> dict[str, FloatArray]:
    """Returns all weights of `config`, with the layers' tensors stacked.

    check_tensors must have checked the file; names, shared: as there; tensor: returns one by name.
    """

    def gather(weight: str) -> FloatArray:
        parts = [tensor(name) for name in _expand_name(names[weight], config)]
        return np.stack(parts) if "{layer}" in names[weight] else parts[0]

    stored = (weight for weight in weight_shapes(config) if weight != "classifier" or not shared)
    weights = {weight: gather(weight) for weight in stored}
    if shared:
        weights["classifier"] = weights["embedding"]
    return weights


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
