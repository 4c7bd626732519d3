"""The scales of the residual stream: one for the whole model, or a coarser one from a sum on.

Massive activations appear in a layer and stay in the stream until its end. Where the weights are
not rotated (rotation.py), one scale would have to hold these and the small numbers of the layers
before. So the stream gets coarser once, where its largest magnitude grows most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from host.model.arithmetic import RESIDUAL_LIMIT
from host.model.checkpoint import Config
from host.model.quantization.scales import MAX_SHIFT, SMALLEST, choose_exponent, floor_log2
from host.model.ranges import Ranges

RESIDUAL_HEADROOM = 4.0  # the residual has bits to spare and cannot be allowed to clip


class StreamPeaks:
    """The largest magnitude of the stream after each sum, of a model that is calibrated: `found`
    [1 + 2 * layers], of which the first is that of the embedding."""

    def __init__(self, layers: int) -> None:
        self.found = np.zeros(1 + 2 * layers)
        self._place = 0

    def observe(self, site: str, layer: int, values: npt.NDArray[np.float64]) -> None:
        """Takes in the values at a site [batch, positions, elements]."""
        if site == "attention_output":
            self._place = 1 + 2 * layer
        elif site == "hidden":
            self._place = 2 + 2 * layer
        elif site == "residual":
            largest = float(np.abs(values).max())
            self.found[self._place] = max(self.found[self._place], largest)


def choose_stream(config: Config, ranges: Ranges) -> list[int]:
    """Returns the exponents [1 + 2 * layers] of the scales at which the stream fits its limit:
    those of the embedding, and after each sum."""
    epsilon = max(config.dim * config.norm_eps, SMALLEST)
    finest = floor_log2(2.0**29 / epsilon) // 2  # keeps Gain.epsilon below 2**30
    count = 1 + 2 * config.layers
    fitting = [
        min(choose_exponent(float(peak), RESIDUAL_LIMIT, RESIDUAL_HEADROOM), finest)
        for peak in np.broadcast_to(ranges.residual, count)
    ]
    falling = np.minimum.accumulate(fitting)
    last = int(falling[-1])
    change = int(np.argmax(falling[:-1] - falling[1:])) + 1
    first = min(int(falling[change - 1]), last + MAX_SHIFT)
    return [first] * change + [last] * (count - change)


def fit_stream(wanted: Sequence[int], bounds: Sequence[int]) -> list[int]:
    """Returns `wanted` exponents, each as much lower as the bounds [1 + 2 * layers] demand of any
    sum that has the same; none is above those before it, nor more than MAX_SHIFT below."""
    least = dict(zip(wanted, wanted, strict=True))
    for exponent, bound in zip(wanted, bounds, strict=True):
        least[exponent] = min(least[exponent], bound)
    fitted = np.minimum.accumulate([least[exponent] for exponent in wanted])
    return [int(exponent) for exponent in np.minimum(fitted, fitted[-1] + MAX_SHIFT)]
