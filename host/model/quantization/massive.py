"""Models with massive activations, brought into a form that integers of 16 bits hold.

The form computes the same (rotation.py, copies.py), so that chips and wire know nothing of it.
Other models stay as they are, and so do the integers that they are quantized to. Weights that are
to stay in the groups of their file are not rotated, which would leave nothing of these: there the
residual stream changes its scale instead (stream.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from host.model.checkpoint import Config
from host.model.float_model import FloatModel
from host.model.float_weights import FloatWeights
from host.model.groups import COLUMNS
from host.model.quantization.copies import CopiedUnits, choose_copies
from host.model.quantization.rotation import RotatedWeights
from host.model.quantization.rows import ModelRows, Rounder
from host.model.quantization.stream import StreamPeaks
from host.model.ranges import Ranges

# So many times as large as is usual is massive in the residual stream. Those of small models have
# some 20 times at most.
MASSIVE = 64.0
# Units that are at most so many times as large as is usual leave 32 steps of 16 bits, of which one
# is a sign and one to spare, to a usual magnitude; twice as much is massive.
LARGEST_UNIT = 512.0

Begin = Callable[[str, int], Callable[[], object]]


class Magnitudes:
    """What tells massive activations from usual ones, of a model that is calibrated.

    unit_peaks: largest magnitude of each feed-forward unit [layers, units]; usual_units: of a
    layer's units the root of the mean square at a usual position [layers].
    """

    def __init__(self, config: Config) -> None:
        self.unit_peaks = np.zeros((config.layers, config.hidden_dim))
        self.usual_units = np.zeros(config.layers)
        self._usual_residuals: list[float] = []

    def observe(self, site: str, layer: int, values: npt.NDArray[np.float64]) -> None:
        """Takes in the values at a site [batch, positions, elements]."""
        if site == "hidden":
            peaks = np.abs(values).max(axis=(0, 1))
            self.unit_peaks[layer] = np.maximum(self.unit_peaks[layer], peaks)
            self.usual_units[layer] = max(self.usual_units[layer], _usual(values))
        elif site == "residual":
            self._usual_residuals.append(_usual(values))

    def are_massive(self, ranges: Ranges) -> bool:
        """Returns whether the residual stream or a layer's units have massive activations."""
        usual = float(np.median(self._usual_residuals))
        units = ranges.hidden > 2 * LARGEST_UNIT * self.usual_units
        return bool(ranges.residual > MASSIVE * usual) or bool(units.any())


def calibrate(
    weights: FloatWeights,
    model: FloatModel,
    sequences: Iterable[npt.ArrayLike],
    begin: Begin = lambda name, steps: lambda: None,
    grouped: frozenset[str] = frozenset(),
) -> tuple[FloatWeights, Ranges, ModelRows | None]:
    """Returns weights that compute what `model`, those of `weights`, does, their ranges over
    `sequences`, and rows that are rounded for these: what `quantize` makes its integers from.

    begin: called with the name of a step and its number of parts; what it returns, after each;
    grouped: the matrices that stay in groups (group_rows.find_grouped).
    """
    sequences = list(sequences)
    layers = weights.config.layers
    found = Magnitudes(weights.config)
    ranges = model.measure_ranges(sequences, begin("calibrating", layers), found.observe)
    are_massive = found.are_massive(ranges)
    if not are_massive and not grouped:
        return weights, ranges, None
    form = _reform(weights, found, grouped) if are_massive else weights
    # Each layer is read for one pass, so that none need stay in memory.
    reformed, rounder = FloatModel(form, kept=0), Rounder(form, grouped)
    peaks = StreamPeaks(layers)
    advance = begin("calibrating, in groups" if grouped else "calibrating, rotated", layers)

    def observe(site: str, layer: int, values: npt.NDArray[np.float64]) -> None:
        rounder.observe(site, layer, values)
        peaks.observe(site, layer, values)

    def finish_layer() -> None:
        rounder.finish_layer()
        advance()

    ranges = reformed.measure_ranges(sequences, finish_layer, observe)
    if are_massive:
        # Other texts have larger peaks than those that are calibrated on.
        ranges.roomy_hidden = found.usual_units * LARGEST_UNIT / 2
        if grouped:
            ranges.residual = peaks.found
    return form, ranges, rounder.finish()


def _reform(weights: FloatWeights, found: Magnitudes, grouped: frozenset[str]) -> FloatWeights:
    """Returns weights that compute the same, with copies, and rotated unless they are grouped."""
    goals = np.maximum(found.usual_units * LARGEST_UNIT, np.finfo(float).tiny)
    if grouped:
        copies = choose_copies(found.unit_peaks, goals, COLUMNS)
        return CopiedUnits(weights, copies, behind=True)
    return RotatedWeights(CopiedUnits(weights, choose_copies(found.unit_peaks, goals)))


def _usual(values: npt.NDArray[np.float64]) -> float:
    """Returns the median, over positions, of the root of the mean square of [..., elements]."""
    return float(np.median(np.sqrt(np.mean(values * values, axis=-1))))
