"""Holds what federations of boards are modelled to do to the goals that were set for links.

    python -m bench.goals [--model FILE] [--wide FILE] [--measure]

Each row is a figure, its goal, and which options give it. Modelled are the best plan that fits of
those that `host.plan` considers, with as many drafts as pay, by the model's own text where that is
beside it. --wide: a model of width 576 whose numbers are run, else one with random weights.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from bench.bounds import SHIPPED
from bench.virtual.model import as_checkpoint, draw_weights
from host.cli.arguments import Parser, exit_code
from host.cli.console import Console
from host.cli.tables import print_table
from host.errors import ClusterError, ModelError, SetupError
from host.generation.choosing import TokenChooser
from host.generation.decoding import decode
from host.generation.drafts import Drafter, NgramTable
from host.hardware.board import Board
from host.hardware.boards import load
from host.launch import SimulatedChips, open_cluster
from host.model.cache import load_quantized
from host.model.checkpoint import Config
from host.model.own_text import OwnText, load_own_text, own_text_path
from host.model.quantization.quantize import quantize
from host.model.quantized import QuantizedModel
from host.model.sampling import Sampler
from host.model.tokenizers.bpe import BOS
from host.parallel.assessment import describe_options
from host.parallel.boards import BoardSet
from host.parallel.cost.latency import LatencyModel
from host.parallel.cost.throughput import count_rows, model_throughput
from host.parallel.cost.traffic import count_traffic, widest_sums
from host.parallel.cost.widths import SumWidths
from host.parallel.fitting import find_plans
from host.parallel.parallelism import ALL_GATHER, ALL_REDUCE, ANYWHERE, HOST_REDUCE
from host.parallel.partition import partition
from host.parallel.plan import Plan

# The shapes of the 15 million parameters of llama2.c's stories15M, and those of SmolLM2-135M.
STORIES15M = Config(288, 768, 6, 6, 6, 32_000, 256)
SMOLLM2 = Config(576, 1536, 2, 9, 3, 512, 64)
CONTEXT = 64  # positions
CHIPS, WIDE_CHIPS, SEQUENCES = 5, 10, 16
LONG, SHORT = 1470, 250
FAST_LINE = 3_000_000
_STEPS, _RUNS = 220, 5
_WIDTH = 260  # of a file
_PSRAM, _FITTING = 16 << 20, 64  # bytes, and positions that one board then has room for


@dataclass(frozen=True)
class Goal:
    """A figure with its goal, and how it is reached; measured: on this machine, else modelled."""

    name: str
    value: float
    goal: float
    how: str
    unit: str = "tokens/s"
    measured: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the figure is as good as the goal; a number of bytes must not be larger."""
        return self.value <= self.goal if self.unit == "of them" else self.value >= self.goal


@dataclass(frozen=True)
class _Best:
    rate: float
    how: str


class Boards:
    """The performance of boards with a model, in the middle of its texts."""

    def __init__(self, model: QuantizedModel, yields: Sequence[float]) -> None:
        self._model, self._yields = model, yields

    def best(self, boards: BoardSet, drafts: bool = True) -> _Best:
        """Returns the fastest plan of one sequence. Raises ModelError if none fits."""
        plans, problems = find_plans(self._model, boards)
        found = [self._drafted(plan, boards, drafts) for plan in plans]
        if not found:
            raise next(iter(problems.values()))
        return max(found, key=lambda one: one.rate)

    def together(self, boards: BoardSet, sequences: int) -> _Best:
        """Returns the fastest plan of several, in all."""
        found = []
        for plan in find_plans(self._model, boards)[0]:
            with suppress(ModelError):
                roomy = replace(plan.parallelism, slots=sequences)
                found.append(self._throughput(boards.plan(self._model, roomy), boards))
        return max(found, key=lambda one: one.rate)

    def _throughput(self, plan: Plan, boards: BoardSet) -> _Best:
        model, widths = self._costs(plan, boards)
        rows = count_rows(plan)
        token = plan.strategy.synchronizations(plan, True, widths, rows)
        rate = model_throughput(model, token, plan.context // 2, rows)
        how = f"{describe_options(plan.parallelism)}, {plan.slots} sequences, {rows} a message"
        return _Best(rate, how)

    def _costs(self, plan: Plan, boards: BoardSet) -> tuple[LatencyModel, Any]:
        sums = SumWidths(self._model, plan)
        sums.run_typical()
        return LatencyModel(plan, boards.boards), sums.widths

    def _drafted(self, plan: Plan, boards: BoardSet, drafts: bool) -> _Best:
        model, widths = self._costs(plan, boards)
        most = min(len(self._yields), plan.positions) if drafts else 1

        def rate(count: int) -> float:
            token = plan.strategy.synchronizations(plan, True, widths, 1 + count)
            seconds = model.latency(token, plan.context // 2, 1 + count).total
            return self._yields[count] / seconds

        best = max(range(most), key=rate)
        drafted = f", {best} drafts" if best else ""
        return _Best(rate(best), describe_options(plan.parallelism) + drafted)


def board_goals(model: QuantizedModel, yields: Sequence[float]) -> Iterator[Goal]:
    """Returns goals for one sequence and for several on five boards. Raises ModelError if the
    model is too large."""
    of = Boards(model, yields)
    on_air = {}
    for board, goal in (("esp32s3", 80.0), ("esp32c3", 60.0)):
        found = []
        for mtu in (LONG, SHORT):
            with suppress(ModelError):
                best = of.best(_boards(load(board).with_mtu(mtu), "espnow"))
                found.append(replace(best, how=f"{best.how}, frames of {mtu:,}"))
        if found:
            on_air[board] = best = max(found, key=lambda one: one.rate)
            yield Goal(f"greedy, {CHIPS} {board}, ESP-NOW", best.rate, goal, best.how)
    s3 = load("esp32s3")
    for words, baud in (("", None), (" of 3 Mbaud", FAST_LINE)):
        best = of.best(_boards(_with_baud(s3, baud), "uart"))
        yield Goal(f"greedy, {CHIPS} esp32s3, UART{words} to the host", best.rate, 50, best.how)
    best = of.best(_boards(s3, "ring"))
    yield Goal(f"greedy, {CHIPS} esp32s3 in a ring of 3 Mbaud", best.rate, 100, best.how)
    psram = load("esp32s3-psram").with_mtu(LONG)
    one = of.best(_boards(psram, "espnow"), drafts=False)
    many = of.together(_boards(psram, "espnow"), SEQUENCES)
    name = f"{SEQUENCES} sequences against one, {CHIPS} esp32s3-psram, ESP-NOW"
    how = f"{many.rate:.0f} by {many.how}; {one.rate:.0f} by {one.how}"
    yield Goal(name, many.rate / one.rate, 4, how, "times")


def _boards(board: Board, kind: str, chips: int = CHIPS) -> BoardSet:
    return BoardSet((board,) * chips, kind, CONTEXT, False, "pins", weights=ANYWHERE)


def _with_baud(board: Board, baud: int | None) -> Board:
    assert board.uart
    return replace(board, uart=replace(board.uart, baud=baud or board.uart.baud))


def byte_goals(model: QuantizedModel, what: str) -> Iterator[Goal]:
    """Returns goals for bytes on the air with all-gather, as a fraction of those with partial
    sums."""
    sizes = {}
    for parallelism in (ALL_REDUCE, ALL_GATHER):
        link = _boards(load("esp32s3"), "espnow", WIDE_CHIPS).link
        plan = partition(model, WIDE_CHIPS, 64, parallelism=parallelism, link=link)
        widths = SumWidths(model, plan)
        widths.run_typical(2)
        token = plan.strategy.synchronizations(plan, True, widths.widths)
        sizes[parallelism.exchange] = count_traffic(plan, token).air.bytes
    reduced, gathered = sizes.values()
    name = f"bytes a token on the air, width {model.config.dim}, {WIDE_CHIPS} chips"
    how = f"{gathered:,} by all-gather, {reduced:,} by all-reduce; {what}"
    yield Goal(name, gathered / reduced, 0.25, how, "of them")


def scaling_goals() -> Iterator[Goal]:
    """Returns goals for five boards against one of the same kind, with 16 MB of PSRAM as in
    ESP32-S3-WROOM-2, because one with 8 MB does not hold the weights; sums are as wide as
    planned."""
    model: Any = SimpleNamespace(config=STORIES15M, accumulator_bits=24)

    def best(chips: int) -> _Best:
        found = []
        for kind, mtu, baud in (("espnow", LONG, None), ("espnow", LONG, FAST_LINE),
                                ("uart", LONG, FAST_LINE)):  # fmt: skip
            board = _with_baud(load("esp32s3-psram").with_mtu(mtu), baud)
            boards = BoardSet((board,) * chips, kind, _FITTING, False, "pins", heap=_PSRAM)
            for each in (HOST_REDUCE, ALL_REDUCE, ALL_GATHER):
                plan = boards.plan(model, each)
                token = plan.strategy.synchronizations(plan, True, widest_sums(plan))
                latency = LatencyModel(plan, boards.boards).latency(token, _FITTING // 2)
                line = f" at {board.uart.baud:,} baud" if board.uart else ""
                how = f"{describe_options(each)}, {kind}{line}"
                found.append(_Best(latency.tokens_per_second, how))
        return max(found, key=lambda one: one.rate)

    alone, five = best(1), best(CHIPS)
    name = f"{CHIPS} esp32s3 with 16 MB of PSRAM against one, 15M parameters, one sequence"
    how = f"{five.rate:.1f} by {five.how}; {alone.rate:.1f} by {alone.how}"
    yield Goal(name, five.rate / alone.rate, 3.5, how, "times")


def simulated_goals(model: QuantizedModel, own: OwnText | None) -> Iterator[Goal]:
    """Returns goals for tokens per second of five processes on this machine, the best of some
    runs. Raises ClusterError."""
    table = NgramTable(own.texts, model.config.vocab_size) if own else None
    chips = SimulatedChips.alike(CHIPS, "espnow", radio_mtu=LONG, parallelism=ALL_REDUCE)
    best = 0.0
    with open_cluster(model, chips) as cluster:
        for _ in range(_RUNS):
            task = _Task()
            start = time.monotonic()
            count = sum(token is not None for _, token in decode(
                cluster.executor, [task], Drafter(table)
            ))  # fmt: skip
            best = max(best, count / (time.monotonic() - start))
    name = f"simulated here, {CHIPS} processes, ESP-NOW, with drafts"
    how = f"{describe_options(ALL_REDUCE)}, best of {_RUNS} runs of {_STEPS} tokens"
    yield Goal(name, best, 300, how, measured=True)


class _Task:
    """The task of a greedy text from its beginning."""

    def __init__(self) -> None:
        self.tokens = [BOS]
        self.chooser = TokenChooser(1, _STEPS, Sampler(), 0, ())


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = Parser(prog="python -m bench.goals", description=__doc__)
    add = parser.add_argument
    add("--model", default=os.environ.get("MODEL") or str(SHIPPED), metavar="FILE",
        help="of the rows of five boards (default: the shipped model)")
    add("--wide", metavar="FILE", help="a model of width 576 whose numbers are run")
    add("--measure", action="store_true", help="run simulated chips as well")
    options = parser.parse_args(arguments)
    return exit_code(lambda: run(options), (ClusterError, ModelError, SetupError))


def run(options: argparse.Namespace) -> int:
    """Prints the table; returns the exit code."""
    model = load_quantized(options.model, None, lambda outline: None).quantize()
    own = load_own_text(own_text_path(options.model), model.config.vocab_size)
    goals = list(board_goals(model, own.yields if own else [1.0]))
    if options.wide:
        wide = load_quantized(options.wide, None, lambda outline: None).quantize()
        goals += byte_goals(wide, options.wide)
    else:
        wide = quantize(as_checkpoint(SMOLLM2, draw_weights(SMOLLM2, 5, {})))
        goals += byte_goals(wide, "random weights")
    goals += scaling_goals()
    if options.measure:
        goals += simulated_goals(model, own)
    rows = [
        [
            *(one.name, f"{one.value:.3g}", f"{one.goal:g} {one.unit}"),
            *("met" if one.is_met else "missed", "measured" if one.measured else "modelled"),
            one.how,
        ]
        for one in goals
    ]
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    print_table(console, ["figure", "", "goal", "", "label", "by"], rows, left={0, 3, 4, 5})
    return 0


if __name__ == "__main__":
    sys.exit(main())
