"""The same model with its residual stream rotated, so that no element of it stands out.

Large models keep numbers in single elements of the residual stream that are thousands of times as
large as all others, mostly at a text's first position ("massive activations", Sun et al., 2024).
One scale for the stream leaves little of the others. An RMSNorm without weights only scales its
input, so that an orthogonal matrix Q commutes with it: with the norms' weights taken into the
matrices behind them, and Q into all that read from and write to the stream, the model computes the
same, and each large number is spread over all elements (Ashkboos et al., "QuaRot", 2024). Nothing
of this is left to do for chips, and nothing for the host beyond an embedding of its own.

Q flips the signs of some elements and then takes the discrete Hartley transform, which there is of
any length, unlike Hadamard's; none of its entries is beyond sqrt(2 / dim).
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from host.model.checkpoint import FloatArray
from host.model.float_weights import FloatWeights, LayerWeights
from host.model.quantization.scales import iterate_blocks

_SEED = 0
# Of each norm, the matrices that read what it gives.
_READERS = {"attention_norm": ("wq", "wk", "wv"), "ffn_norm": ("w1", "w3")}
_WRITERS = ("wo", "w2")


class RotatedWeights:
    """Weights that compute what those of `source` do, in a rotated residual stream.

    They are made as they are asked for. The classifier is never the embedding, as the final norm's
    weight is part of it.
    """

    shared_classifier = False

    def __init__(self, source: FloatWeights) -> None:
        self.config, self._source = source.config, source
        self._signs = draw_signs(source.config.dim)

    @property
    def embedding(self) -> FloatArray:
        """Rows of all tokens [vocab, dim]."""
        return self._rotate_inputs(self._source.embedding, 1.0)

    @property
    def final_norm(self) -> FloatArray:
        """Of the last RMSNorm [dim]: ones."""
        return np.ones(self.config.dim, np.float32)

    @property
    def classifier(self) -> FloatArray:
        """Rows of all tokens [vocab, dim]."""
        return self._rotate_inputs(self._source.classifier, self._source.final_norm)

    def layer(self, index: int) -> LayerWeights:
        """Returns the weights of a layer, by their names. Raises ModelError."""
        given = self._source.layer(index)
        layer = dict(given)
        for norm, names in _READERS.items():
            layer[norm] = np.ones(self.config.dim, np.float32)
            for name in names:
                layer[name] = self._rotate_inputs(given[name], given[norm])
        for name in _WRITERS:
            layer[name] = np.ascontiguousarray(self._rotate_inputs(given[name].T, 1.0).T)
        return layer

    def digest(self) -> bytes:
        """Returns what two models share only where their weights are the same."""
        return hashlib.sha256(b"rotated" + self._source.digest()).digest()

    def _rotate_inputs(self, matrix: FloatArray, gain: FloatArray | float) -> FloatArray:
        """Returns `matrix` [rows, dim], its columns times `gain`, for inputs that are rotated."""
        rotated = np.empty(matrix.shape, np.float32)
        factors = self._signs * gain
        for rows in iterate_blocks(matrix):
            rotated[rows] = transform(matrix[rows] * factors)
        return rotated


def draw_signs(dim: int) -> NDArray[np.float64]:
    """Returns 1 or -1 for each element, the same ones each time."""
    return np.random.default_rng(_SEED).choice([-1.0, 1.0], dim)


def transform(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the discrete Hartley transform of each row [..., dim], scaled so that it is
    orthogonal, and its own inverse."""
    spectrum = np.fft.fft(rows)
    return np.asarray((spectrum.real - spectrum.imag) / np.sqrt(rows.shape[-1]))
