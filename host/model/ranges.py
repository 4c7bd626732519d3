"""Activation ranges: how large values get at each site of a model, for choosing scales."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class Ranges:
    """Largest magnitudes: per layer [layers], or one number for the whole model."""

    def __init__(self, layers: int) -> None:
        """Ranges of a model of `layers` layers before anything was observed: all 0."""
        self.attention_input = np.zeros(layers)  # normalized: input of wq, wk, wv
        self.q = np.zeros(layers)
        self.k = np.zeros(layers)
        self.v = np.zeros(layers)
        # After rope, which can increase values by sqrt(2), and after the norms of q and k before
        # it, if there are any.
        self.rotated_q = np.zeros(layers)
        self.rotated_k = np.zeros(layers)
        self.attention_output = np.zeros(layers)  # the heads' results: input of wo
        self.ffn_input = np.zeros(layers)  # normalized: input of w1, w3
        self.gate = np.zeros(layers)  # w1 x: input of SiLU
        self.up = np.zeros(layers)  # w3 x
        self.hidden = np.zeros(layers)  # SiLU(gate) * up: input of w2
        # Room for larger values of hidden than were observed, where that costs nothing else.
        self.roomy_hidden = np.zeros(layers)
        # The embedding and every sum of the residual stream; or of each by itself,
        # [1 + 2 * layers], where the stream's scale may change.
        self.residual: float | npt.NDArray[np.float64] = 0.0
        self.final = 0.0  # normalized: input of the classifier
        self.logits = 0.0

    def observe(self, site: str, layer: int, values: npt.NDArray[np.float64]) -> None:
        """Widens the range of `site` to `values`; layer -1 for a site of the whole model."""
        largest = float(np.abs(values).max())
        if layer < 0:
            setattr(self, site, max(getattr(self, site), largest))
        else:
            by_layer = getattr(self, site)
            by_layer[layer] = max(by_layer[layer], largest)
