"""The matrices of a whole model as rows of int8: each weight for itself, or for its inputs.

`Rounder` rounds them while the model is calibrated, layer by layer, so that no more than a layer's
moments are in memory at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from host.model.float_weights import FloatWeights, LayerWeights
from host.model.quantization.group_rows import GroupRows
from host.model.quantization.rounding import Moments
from host.model.quantization.scales import SMALLEST, Rows

Floats = NDArray[np.float64]
LayerRows = Mapping[str, Rows]

# Of each matrix the site of its inputs, as float_model.py calls it.
_INPUTS = {
    "wq": "attention_input",
    "wk": "attention_input",
    "wv": "attention_input",
    "wo": "attention_output",
    "w1": "ffn_input",
    "w3": "ffn_input",
    "w2": "hidden",
}
_CLASSIFIER_INPUT = "final"
_NORMALIZED = ("attention_input", "ffn_input", _CLASSIFIER_INPUT)
_WRITING = ("attention_output", "hidden")  # what their matrices give is added to the stream


@dataclass(frozen=True)
class ModelRows:
    """Of each layer its matrices by their names, and the classifier; grouped: the names of those
    that are in groups."""

    layers: list[LayerRows]
    classifier: Rows
    grouped: frozenset[str] = frozenset()


def round_layer(layer: LayerWeights) -> LayerRows:
    """Returns the matrices of a layer, each weight rounded to what is nearest."""
    return {name: Rows(layer[name]) for name in _INPUTS}


class Rounder:
    """Rounds the matrices of `weights` for the inputs that they have in calibration.

    grouped: names of those that stay in groups (group_rows.py); the others become int8.
    """

    def __init__(self, weights: FloatWeights, grouped: frozenset[str] = frozenset()) -> None:
        self._weights, self._grouped = weights, grouped
        self._moments: dict[str, Moments] = {}
        self._writing: tuple[str, Floats] | None = None
        self._layers: list[LayerRows] = []

    def observe(self, site: str, layer: int, values: Floats) -> None:
        """Takes in the values at a site [batch, positions, elements]."""
        if site in _NORMALIZED:
            self._add(site, values)
        elif site in _WRITING:
            self._writing = site, values
        elif site == "residual" and self._writing is not None:
            # An error in the stream counts by how large the stream is, which norms divide by.
            (written, inputs), self._writing = self._writing, None
            mean_square = np.mean(values * values, axis=-1, keepdims=True)
            self._add(written, inputs / np.sqrt(np.maximum(mean_square, SMALLEST)))

    def _add(self, site: str, inputs: Floats) -> None:
        self._moments.setdefault(site, Moments(inputs.shape[-1])).add(inputs)

    def finish_layer(self) -> None:
        """Rounds the layer whose inputs were observed last, and forgets these."""
        layer = self._weights.layer(len(self._layers))
        rows = {
            name: (GroupRows if name in self._grouped else Rows)(layer[name], self._moments[site])
            for name, site in _INPUTS.items()
        }
        self._layers.append(rows)
        self._moments.clear()

    def finish(self) -> ModelRows:
        """Returns all rows, after the last layer and the classifier's inputs."""
        classifier = Rows(self._weights.classifier, self._moments.pop(_CLASSIFIER_INPUT))
        return ModelRows(self._layers, classifier, self._grouped)
