"""A model's float weights, one layer at a time, for calibration and quantization.

`Checkpoint` has them all in memory; `StreamedWeights` reads each when it is needed, so that only
one layer of a large file is in memory at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from host.errors import ModelError
from host.model.checkpoint import Config, FloatArray, check_weight, layer_shapes, weight_shapes

LayerWeights = Mapping[str, FloatArray]


class FloatWeights(Protocol):
    """Float32 weights, shaped as `checkpoint.weight_shapes` says."""

    @property
    def config(self) -> Config:
        """The model's dimensions."""

    @property
    def embedding(self) -> FloatArray:
        """Rows of all tokens [vocab, dim]."""

    @property
    def final_norm(self) -> FloatArray:
        """Of the last RMSNorm [dim]."""

    @property
    def classifier(self) -> FloatArray:
        """Rows of all tokens [vocab, dim]."""

    @property
    def shared_classifier(self) -> bool:
        """Whether the classifier is the embedding."""

    def layer(self, index: int) -> LayerWeights:
        """Returns the weights of a layer, by their names. Raises ModelError for values that are
        not finite."""

    def digest(self) -> bytes:
        """Returns what two models share only where their weights are the same."""


class StreamedWeights:
    """Weights that are read each time that they are needed."""

    def __init__(
        self,
        config: Config,
        names: Mapping[str, str],
        tensor: Callable[[str], FloatArray],
        arrange: Callable[[dict[str, FloatArray], Config], dict[str, FloatArray]],
        files: list[Path],
        *,
        shared: bool,
    ) -> None:
        """names: the tensor of each weight, with {layer} in place of the layer's number; tensor:
        reads a tensor; arrange: brings stacked layers into the order of `Checkpoint`; files: those
        that hold the tensors; shared: whether the classifier is the embedding."""
        self.config, self.shared_classifier = config, shared
        self._names, self._tensor, self._arrange, self._files = names, tensor, arrange, files

    @property
    def embedding(self) -> FloatArray:
        """Rows of all tokens [vocab, dim]."""
        return self._read("embedding")

    @property
    def final_norm(self) -> FloatArray:
        """Of the last RMSNorm [dim]."""
        return self._read("final_norm")

    @property
    def classifier(self) -> FloatArray:
        """Rows of all tokens [vocab, dim]."""
        return self._read("embedding" if self.shared_classifier else "classifier")

    def layer(self, index: int) -> LayerWeights:
        """Returns the weights of a layer, by their names. Raises ModelError."""
        shapes = layer_shapes(self.config)
        stacked = {
            name: self._tensor(self._names[name].format(layer=index))[None] for name in shapes
        }
        arranged = self._arrange(stacked, self.config)
        weights = {name: arranged[name][0] for name in shapes}
        for name, shape in shapes.items():
            check_weight(f"{name} of layer {index}", weights[name], shape)
        return weights

    def digest(self) -> bytes:
        """Returns a digest that is equal for two models only if their files are equal. Raises
        ModelError."""
        digest = hashlib.sha256(f"{sorted(self._names.items())} {self.shared_classifier}".encode())
        for path in self._files:
            try:
                with open(path, "rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise ModelError(f"cannot read {path.name}: {error.strerror}") from error
        return digest.digest()

    def _read(self, name: str) -> FloatArray:
        weight = self._tensor(self._names[name])
        check_weight(name, weight, weight_shapes(self.config)[name])
        return np.asarray(weight)
