"""Finds what a model is and which boards can hold it, for `python -m host.model inspect`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from host.errors import ModelError
from host.hardware import boards
from host.hardware.board import Board
from host.hardware.mmu import mapped_room
from host.model import loading
from host.model.checkpoint import Config, quantized_bytes, weight_shapes
from host.model.files import naming
from host.model.loading import Format
from host.model.quantization.group_rows import find_grouped
from host.model.quantization.quantize import quantize
from host.model.quantized import QuantizedModel
from host.model.ranges import Ranges
from host.parallel.boards import BoardSet
from host.parallel.cost.estimate import estimate, find_fastest
from host.parallel.cost.reading import FLASH
from host.parallel.fitting import (
    explain,
    find_fewest_chips,
    find_leanest_chips,
    find_obstacle,
    find_plans,
)
from host.parallel.parallelism import ANYWHERE, FLASH_MAPPED
from host.parallel.plan import Plan

_MOST_TRIED = 20  # boards to try with weights in flash, if the model does not fit heaps


@dataclass(frozen=True)
class Fit:
    """Whether a cluster of these boards holds the model.

    problem: a line on why not; weights: where they are kept: heap, PSRAM, flash;
    tokens_per_second; first_token: seconds after a prompt of PROMPT tokens; limit: what takes most
    of the time. None if it is not modelled. mapped_rate: tokens per second if chips map their
    flash (--weights flash-mapped), None where none is read, or chips cannot.
    """

    chips: int
    board: str
    problem: str | None
    weights: tuple[str, ...] = ()
    tokens_per_second: float | None = None
    first_token: float | None = None
    limit: str | None = None
    mapped_rate: float | None = None


@dataclass(frozen=True)
class Inspection:
    """A model's figures.

    parameters: a classifier that shares the embedding's matrix counts once (a quantized model
    always has two matrices); quantized_bytes: weights and their rows' multipliers on all
    chips together; groups_bytes: the same for a GGUF file in groups, None if it has none;
    kv_bytes: of their caches for `context` positions; chips: by board and link, the smallest
    number of boards that hold the model, None if no number does, with signed frames except on
    simulated boards, as `flash` does it; with_flash: the same, where fewer boards do with weights
    in flash; problem: one line, if no chips can run the model, whatever their heaps.
    """

    path: str
    format: Format
    architecture: str
    config: Config
    shared_classifier: bool
    parameters: int
    quantized_bytes: int
    groups_bytes: int | None
    context: int
    kv_bytes: int
    chips: dict[str, dict[str, int | None]]
    with_flash: dict[str, dict[str, int]]
    problem: str | None
    cluster: Fit | None

    def as_dict(self) -> dict[str, Any]:
        """Returns the object for `--json`."""
        fields = dataclasses.asdict(self)
        return {**fields, "format": self.format.value}


def inspect_model(
    path: str | Path,
    context: int | None = None,
    cluster: tuple[int, Board] | None = None,
    link: str = "espnow",
) -> Inspection:
    """Inspects the model at `path`.

    context: positions of the KV caches, by default all that the model allows; cluster: a number of
    boards of a kind, to see whether they hold the model over `link`. Raises ModelError,
    BoardError.
    """
    kind = loading.detect_format(path)
    shared, grouped = False, None
    if kind is Format.QUANTIZED:
        model = loading.load_model(path).quantize()
    else:
        weights = loading.load_weights(path)
        shared = weights.shared_classifier
        with naming(path):
            if kind is Format.GGUF:
                grouped = " ".join(sorted(find_grouped(weights))) or None
            # Plans need sizes and the bits of sums, which depend on the weights only: so any
            # ranges of activations do, and the model need not run for calibration.
            model = quantize(weights, _make_unit_ranges(weights.config.layers))
    config = model.config
    context = config.context if context is None else context
    if not 1 <= context <= config.context:
        raise ModelError(f"context must be 1 to {config.context}, got {context}")
    obstacle = find_obstacle(model, context)
    kinds = [boards.load(name) for name in boards.names()]
    chips = {board.name: _fewest_by_link(model, board, context) for board in kinds}
    return Inspection(
        path=str(path),
        format=kind,
        architecture=loading.detect_architecture(path).model_type,
        config=config,
        shared_classifier=shared,
        parameters=_count_parameters(config, shared),
        quantized_bytes=quantized_bytes(config),
        groups_bytes=quantized_bytes(replace(config, groups=grouped)) if grouped else None,
        context=context,
        kv_bytes=2 * config.layers * config.kv_heads * config.cache_row * context,
        chips=chips,
        with_flash={
            board.name: found
            for board in kinds
            if (found := _fewest_with_flash(model, board, context, chips[board.name]))
        },
        problem=None if obstacle is None else str(obstacle),
        cluster=None if cluster is None else _check_fit(model, *cluster, context, link),
    )


def _fewest_by_link(model: QuantizedModel, board: Board, context: int) -> dict[str, int | None]:
    return {link: find_fewest_chips(model, board, context, link) for link in board.links}


def _fewest_with_flash(
    model: QuantizedModel, board: Board, context: int, in_heaps: dict[str, int | None]
) -> dict[str, int]:
    """Returns the fewest boards with weights in flash by link, where that is fewer."""
    found = {}
    for link, chips in in_heaps.items():
        if chips == 1 or board.is_simulated or not board.weights_room:
            continue
        most = _MOST_TRIED if chips is None else chips - 1
        fewest = find_leanest_chips(model, board, context, link, ANYWHERE, most=most)
        if fewest is not None:
            found[link] = fewest
    return found


def _check_fit(model: QuantizedModel, chips: int, board: Board, context: int, link: str) -> Fit:
    """Returns whether the model fits these boards, flashed with default options."""
    every = (board,) * chips
    boards = BoardSet(every, link, context, not board.is_simulated, "pins")
    plans, problems = find_plans(model, boards)
    if not plans:
        boards = replace(boards, weights=ANYWHERE)
        plans, _ = find_plans(model, boards)
    if not plans:
        return Fit(chips, board.name, str(explain(problems)))
    found = find_fastest(plans, boards)
    if found is None:
        return Fit(chips, board.name, None)
    rate = found.latency.tokens_per_second
    mapped = _estimate_mapped(model, boards, found.plan) if FLASH in found.places else None
    figures = rate, found.first_token, found.limit, mapped
    return Fit(chips, board.name, None, found.places, *figures)


def _estimate_mapped(model: QuantizedModel, boards: BoardSet, plan: Plan) -> float | None:
    """Returns the tokens per second of the plan's strategy with flash that is mapped, None if the
    boards cannot map it."""
    if not all(map(mapped_room, boards.boards)):
        return None
    mapped = replace(boards, weights=FLASH_MAPPED)
    try:
        plan = mapped.plan(model, replace(plan.parallelism, weights=FLASH_MAPPED))
    except ModelError:
        return None
    return estimate(plan, mapped).latency.tokens_per_second


def _count_parameters(config: Config, shared: bool) -> int:
    return sum(
        int(np.prod(shape))
        for name, shape in weight_shapes(config).items()
        if name != "classifier" or not shared
    )


def _make_unit_ranges(layers: int) -> Ranges:
    ranges = Ranges(layers)
    for site, values in vars(ranges).items():
        setattr(ranges, site, np.ones_like(values) if isinstance(values, np.ndarray) else 1.0)
    return ranges
