"""Models tokens per second of boards in a ring, at several speeds of lines.

One sequence, which waits for each of its parts, is modelled as for plans (`host.plan --link
ring`); several sequences, which keep the lines busy, by discrete events (bench/ring_model.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from bench.results import Label, Row
from bench.ring_model import RingModel, RingScenario
from host.errors import ModelError
from host.hardware.boards import load
from host.model.quantized import QuantizedModel
from host.parallel.boards import BoardSet
from host.parallel.cost.chip_times import CYCLES_AN_INSTRUCTION
from host.parallel.cost.kernel_costs import kernel_costs
from host.parallel.cost.latency import LatencyModel
from host.parallel.cost.traffic import count_traffic
from host.parallel.cost.widths import SumWidths
from host.parallel.parallelism import pipeline

BOARD, CHIPS = "esp32s3", 5
BAUDS = (115_200, 921_600, 2_000_000, 3_000_000)
CONTEXT, SHORT = 256, 48  # positions: of one sequence, and with which there is room for more
_TOKENS = 40  # over which a mean is taken
_MODEL, _EVENTS, _TOGETHER = "speed by plans", "speed by events", "speed of several by events"
KINDS = (_MODEL, _EVENTS, _TOGETHER)


def figures(model: QuantizedModel, name: str) -> Iterator[Row]:
    """Returns rows for each speed, unsigned and signed: frames and bytes of a token on all lines,
    tokens per second of one sequence and of several; none if the boards do not hold the model."""
    for signed in (False, True):
        for baud in BAUDS:
            shape = f"{name} {shape_of(baud, signed)}"
            with suppress(ModelError):
                yield from _one(model, baud, signed, shape)
                yield from _several(model, baud, signed, shape)


def shape_of(baud: int, signed: bool) -> str:
    """Returns the shape of a row, without the model."""
    return f"{CHIPS} chips at {baud} baud{', signed' * signed}"


def _one(model: QuantizedModel, baud: int, signed: bool, shape: str) -> Iterator[Row]:
    boards, scenario = _scenario(model, baud, signed, CONTEXT)
    plan = scenario.plan
    assert scenario.widths
    token = tuple(plan.strategy.synchronizations(plan, True, scenario.widths))
    lines = count_traffic(plan, token).lines
    latency = LatencyModel(plan, boards.boards).latency(token, scenario.position)
    yield Row("ring: frames", BOARD, shape, lines.frames, "", Label.MODELLED)
    yield Row("ring: bytes", BOARD, shape, lines.bytes, "B", Label.MODELLED)
    yield _rate(_MODEL, shape, latency.tokens_per_second)
    yield _rate(_EVENTS, shape, 1 / RingModel(scenario).outcome(_TOKENS).seconds)


def _several(model: QuantizedModel, baud: int, signed: bool, shape: str) -> Iterator[Row]:
    _, scenario = _scenario(model, baud, signed, SHORT)
    together = replace(scenario, sequences=scenario.plan.slots)
    yield Row("ring: sequences", BOARD, shape, scenario.plan.slots, "", Label.MODELLED)
    yield _rate(_TOGETHER, shape, 1 / RingModel(together).outcome(_TOKENS).seconds)


def _scenario(
    model: QuantizedModel, baud: int, signed: bool, context: int
) -> tuple[BoardSet, RingScenario]:
    """Returns the scenario in the middle of the context, with partial sums as wide as in a short
    text."""
    board = load(BOARD)
    costs = kernel_costs(board.mpy_arch, board.chip)
    assert board.clock_mhz and costs
    positions = min(context, model.config.context)
    boards = BoardSet((board,) * CHIPS, "ring", positions, signed, baud=baud)
    plan = boards.plan(model, pipeline(CHIPS))
    sums = SumWidths(model, plan)
    sums.run_typical()
    hertz = board.clock_mhz * 1e6 / CYCLES_AN_INSTRUCTION
    return boards, RingScenario(
        plan, (costs,) * CHIPS, (hertz,) * CHIPS, plan.context // 2, widths=sums.widths
    )


def _rate(what: str, shape: str, tokens: float) -> Row:
    return Row(f"ring: {what}", BOARD, shape, round(tokens, 2), "tokens/s", Label.MODELLED)
