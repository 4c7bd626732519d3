"""The same model with copies of its largest feed-forward units, so that none needs a scale alone.

A unit's output, times its column of the down projection, is a sum in the end: n copies of it with
an n-th of its output each add up to the same (Zhao et al., "Outlier channel splitting", 2019). So
single units that are thousands of times as large as all others no longer decide the scale of their
layer. Up projections take the n-th, which is part of their rows' scales and costs no bits.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from host.model.checkpoint import FloatArray
from host.model.float_weights import FloatWeights, LayerWeights

# Units more, at most, as a fraction of those that there are: each takes its part of a chip. Ten
# boards with 16 MB of flash hold SmolLM2-135M with 24 units more in each layer, and not with 32.
MOST_COPIES = 1 / 64
# And so many in small models, of which that fraction would be hardly any.
FEW_COPIES = 4


class CopiedUnits:
    """Weights that compute what those of `source` do, with more units in each layer.

    They are made as they are asked for. copies: [layers, units], 1 for a unit that stays as it is;
    of each layer the same number in all. behind: whether the units that are added follow behind
    all others, which so keep their places; else copies of a unit lie side by side.
    """

    def __init__(
        self, source: FloatWeights, copies: NDArray[np.int64], behind: bool = False
    ) -> None:
        self._source, self._copies, self._behind = source, copies, behind
        self.config = replace(source.config, hidden_dim=int(copies[0].sum()))
        self.shared_classifier = source.shared_classifier

    @property
    def embedding(self) -> FloatArray:
        """Rows of all tokens [vocab, dim]."""
        return self._source.embedding

    @property
    def final_norm(self) -> FloatArray:
        """Of the last RMSNorm [dim]."""
        return self._source.final_norm

    @property
    def classifier(self) -> FloatArray:
        """Rows of all tokens [vocab, dim]."""
        return self._source.classifier

    def layer(self, index: int) -> LayerWeights:
        """Returns the weights of a layer, by their names. Raises ModelError."""
        layer, copies = dict(self._source.layer(index)), self._copies[index]
        every = np.arange(len(copies))
        units = np.repeat(every, copies)
        if self._behind:
            units = np.concatenate([every, np.repeat(every, copies - 1)])
        parts = (1 / copies[units]).astype(np.float32)
        layer["w1"] = layer["w1"][units]
        layer["w3"] = layer["w3"][units] * parts[:, None]
        layer["w2"] = np.ascontiguousarray(layer["w2"][:, units])
        return layer

    def digest(self) -> bytes:
        """Returns what two models share only where their weights are the same."""
        digest = hashlib.sha256(self._copies.tobytes() + self._source.digest())
        digest.update(b"behind" * self._behind)
        return digest.digest()


def choose_copies(
    peaks: NDArray[np.float64], goals: NDArray[np.float64], multiple: int = 1
) -> NDArray[np.int64]:
    """Returns how many copies each unit has [layers, units].

    As few as bring all to at most `goals`, but no more than MOST_COPIES, or FEW_COPIES, allow;
    layers that need fewer than others use what they have left for what is largest of them. peaks:
    of each unit the largest magnitude [layers, units]; goals [layers], above 0; multiple: the
    number of units that are added is rounded up to a multiple of it.
    """
    most = max(FEW_COPIES, int(peaks.shape[1] * MOST_COPIES))
    needed = np.maximum(np.ceil(peaks / goals[:, None]) - 1, 0).sum(axis=1).max()
    copies = np.ones(peaks.shape, np.int64)
    more = -(-int(min(needed, most)) // multiple) * multiple
    for row, peak in zip(copies, peaks, strict=True):
        for _ in range(more):
            row[np.argmax(peak / row)] += 1
    return copies
