"""What weights of 4 and 6 bits would cost SmolLM2-135M-Instruct: some minutes, in `verify`.

Needs the model: `python -m host.model get smollm2-135m-instruct`. Everything is in floats but the
weights. docs/how-it-works.md has the figures.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from host.cli.quantizing import read_texts
from host.model import loading
from host.model.float_model import FloatModel, Observer, perplexity
from host.model.float_weights import FloatWeights
from host.model.known_models import KNOWN_MODELS
from host.model.quantization.copies import CopiedUnits, choose_copies
from host.model.quantization.massive import LARGEST_UNIT, Magnitudes
from host.model.quantization.quantize import sample_calibration
from host.model.quantization.rotation import RotatedWeights
from host.model.quantization.rounding import Moments
from host.model.quantization.rows import Rounder
from host.model.quantization.scales import iterate_blocks
from tests.peers.narrow_weights import (
    MakeGrid,
    Replaced,
    file_groups,
    groups_of,
    round_for_inputs,
    rows_of,
)

MODEL = KNOWN_MODELS["smollm2-135m-instruct"].path
PROSE = Path(__file__).with_name("prose.txt")


class GridRounder(Rounder):
    """Rounds each matrix to several grids, for the inputs that it has in calibration."""

    def __init__(
        self, weights: FloatWeights, grids: Mapping[str, MakeGrid], watch: Observer | None
    ) -> None:
        super().__init__(weights)
        self.grids, self.watch = grids, watch
        self.layers: dict[str, list] = {name: [] for name in grids}

    def observe(self, site: str, layer: int, values: NDArray[np.float64]) -> None:
        super().observe(site, layer, values)
        if self.watch:
            self.watch(site, layer, values)

    def finish_layer(self) -> None:
        layer = self._weights.layer(len(next(iter(self.layers.values()))))
        for name, make in self.grids.items():
            self.layers[name].append(
                {
                    matrix: round_matrix(layer[matrix], self._moments[site], make)
                    for matrix, site in INPUTS.items()
                }
            )
        self._moments.clear()

    def classifier(self, make: MakeGrid) -> NDArray[np.float32]:
        return round_matrix(self._weights.classifier, self._moments["final"], make)


INPUTS = {
    **dict.fromkeys(("wq", "wk", "wv"), "attention_input"),
    **dict.fromkeys(("w1", "w3"), "ffn_input"),
    "wo": "attention_output",
    "w2": "hidden",
}


def round_matrix(
    matrix: NDArray[np.float32], moments: Moments, make: MakeGrid
) -> NDArray[np.float32]:
    rounded = np.empty_like(matrix)
    for rows in iterate_blocks(matrix):
        rounded[rows] = round_for_inputs(matrix[rows], moments, make(matrix[rows]))
    return rounded


def diverge(logits: np.ndarray, others: np.ndarray) -> float:
    """The mean Kullback-Leibler divergence of a prediction; logits [sequences, length, vocab]."""
    mine, theirs = (take_logarithms(array[:, :-1]) for array in (logits, others))
    return float((np.exp(mine) * (mine - theirs)).sum(-1).mean())


def take_logarithms(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_grids_hold_what_is_rounded_to_them() -> None:
    """Also a file's own groups come back as they are, where multiples are fine enough."""
    draw = np.random.default_rng(1)
    inputs = draw.normal(size=(300, 40)) @ draw.normal(size=(40, 96))
    moments = Moments(96)
    moments.add(inputs)
    weight = draw.normal(size=(24, 96)).astype(np.float32)
    for make in (rows_of(6), groups_of(4), file_groups(127)):
        grid = make(weight)
        found = round_for_inputs(weight, moments, grid)
        q = (found - grid.low) / grid.step
        assert np.abs(q - np.round(q)).max() < 1e-3
        assert q.min() > -0.5 and q.max() < grid.top + 0.5
        nearest = grid.nearest(weight)
        by_inputs, by_weights = (((w - weight) @ inputs.T) ** 2 for w in (found, nearest))
        assert by_inputs.sum() < 0.8 * by_weights.sum()
    levels = draw.integers(0, 16, (24, 3, 32))
    levels[..., :2] = 0, 15
    steps, lows = draw.uniform(0.5, 1, (24, 3, 1)), draw.uniform(-9, -6, (24, 3, 1))
    own = (levels * steps + lows).reshape(24, 96).astype(np.float32)
    errors = [np.abs(file_groups(n)(own).nearest(own) - own).max() for n in (127, 511, 1 << 14)]
    assert errors[0] < 0.5 and errors[1] < 0.12 and errors[2] < 0.005, errors


@pytest.mark.verify
@pytest.mark.timeout(3600)
def test_what_narrow_weights_cost() -> None:
    if not MODEL.exists():
        pytest.skip(f"no {MODEL.name}: python -m host.model get {MODEL.stem} fetches it")
    source = loading.load_model(MODEL)
    model = FloatModel(source.weights)
    prose = read_texts(PROSE, source.tokenizer, model).held_out
    logits = model.logits(prose)
    sequences = sample_calibration(model, source.tokenizer.bos)
    magnitudes = Magnitudes(model.config)

    def measure(
        weights: FloatWeights, grids: Mapping[str, MakeGrid], watch: Observer | None = None
    ) -> dict[str, float]:
        rounder = GridRounder(weights, grids, watch)
        calibrated = FloatModel(weights, kept=0)
        calibrated.measure_ranges(sequences, rounder.finish_layer, rounder.observe)
        classifier = rounder.classifier(rows_of(8))
        found = {}
        for name, layers in rounder.layers.items():
            others = FloatModel(Replaced(weights, layers, classifier), kept=0).logits(prose)
            found[name] = diverge(logits, others)
            change = perplexity(others, prose) / perplexity(logits, prose) - 1
            same = (logits.argmax(-1) == others.argmax(-1))[:, :-1].mean()
            print(f"{name}: {change:+.2%}, divergence {found[name]:.4f}, {same:.1%} the same")
        return found

    grids = {"8 bits": file_groups(127), "10 bits": file_groups(511)}
    own = measure(source.weights, grids, magnitudes.observe)
    copies = choose_copies(magnitudes.unit_peaks, magnitudes.usual_units * LARGEST_UNIT)
    form = RotatedWeights(CopiedUnits(source.weights, copies))
    rotated = measure(form, {"int6": rows_of(6), "int4": groups_of(4)})
    assert rotated["int6"] < 0.03 < rotated["int4"]
    assert own["10 bits"] < 0.004 < own["8 bits"] < 0.03
