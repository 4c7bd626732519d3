"""Modelled tokens per second of boards, from emulated instructions and published links."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.chip import ChipBench, counted
from bench.chip_combined_model import ChipCombined
from bench.combining_chip import CombiningBench
from bench.emulated_chip import FOLDER
from bench.federation_model import Outcome, Scenario
from bench.host_combined_model import HostCombined
from bench.link_figures import CYCLES, RATES, Rate
from bench.plans import tensor_plan
from bench.recording import Request
from bench.results import Label, Row
from bench.work import Work, combining_samples, host_samples, works
from host.build.machine_code.registry import RV32IM
from host.hardware.board import Board
from host.hardware.boards import load
from host.hardware.kernels import native_kernels
from host.model.quantized import QuantizedModel
from host.parallel.heap import usable_heap
from host.parallel.plan import Plan
from protocol.bitpack import bits_needed
from protocol.messages import PHASE_VOCABULARY

BOARDS = ("esp32s3", "esp32", "esp32c3")
CHIPS = (1, 2, 5, 8)
LOSSES = (0.0, 0.05, 0.2)
MANY = (1, 2, 3, 5, 8, 12, 20, 40, 100)
_LOSSY_TOKENS = 30  # over which a mean with losses is taken
_MODELS = {"host": HostCombined, "chips": ChipCombined}
_RELAYED = "host, relayed"
_WORDS = {"host": "host adds", _RELAYED: "host adds, by radio", "chips": "chips add"}


class SpeedModel:
    """Models federations of boards that run one model, at one position."""

    def __init__(
        self,
        model: QuantizedModel,
        requests: Sequence[Request],
        position: int,
        folder: Path = FOLDER,
    ) -> None:
        """requests: recorded, up to `position`. Raises SetupError if QEMU cannot be installed."""
        self._model, self._position = model, position
        # Caches as long as the model allows, up to where the position asks for no more.
        self._context = min(model.config.context, 2 * position)
        recorded = model, requests, [position], folder
        hosts = host_samples(model, ChipBench(*recorded))
        native = host_samples(model, ChipBench(*recorded, kernels=RV32IM), inside=False)
        chips = combining_samples(model, CombiningBench(*recorded))
        combining = combining_samples(model, CombiningBench(*recorded, RV32IM), inside=False)
        self.works: dict[str, dict[str, Work]] = {
            "host": works(hosts, native),
            # Where frames go over the radio, none is answered in one call.
            _RELAYED: works(hosts),
            "chips": works(chips, combining),
        }
        sums = [request.answer for request in requests if request.phase != PHASE_VOCABULARY]
        self._sum_bits = mean_bits(sums)
        self._residual_bits = mean_bits([model.embedding[r.token] for r in requests])

    def outcome(
        self,
        board: Board,
        chips: int,
        combine: str,
        rate: Rate | None,
        loss: float,
        cycles: float,
        greedy: bool = False,
    ) -> tuple[Outcome, bool]:
        """Returns the outcome of the federation, and whether each board's heap holds its shard;
        greedy: whether chips that add up answer with their best tokens."""
        mtu = None if rate is None else board.radio.mtu
        plan = tensor_plan(self._model, chips, self._context, mtu=mtu, reduce=combine)
        kernels = native_kernels(board.chip)
        assert board.clock_mhz and kernels
        scenario = Scenario(
            plan, self.works[_RELAYED if rate and combine == "host" else combine][kernels],
            board.clock_mhz * 1e6 / cycles, rate, loss, self._sum_bits, self._residual_bits,
            greedy,
        )  # fmt: skip
        model = _MODELS[combine](scenario)
        return model.outcome(_LOSSY_TOKENS if loss else 1), _fits(plan, board)

    def figures(self, name: str) -> Iterator[Row]:
        """Yields rows of all boards: slow and fast without losses, slow with losses."""
        for chips in CHIPS:
            for rate in (None, *RATES):
                for combine in _MODELS if chips > 1 else ("host",):
                    for loss, cycles in _cases(rate):
                        for board in map(load, BOARDS):
                            what = board, chips, combine, rate, loss, cycles
                            outcome, fits = self.outcome(*what)
                            yield self._row(name, *what, outcome=outcome, fits=fits)

    def greedy(self, name: str) -> Iterator[Row]:
        """Yields rows of all boards with chips that add up over the faster radio and answer with
        their best tokens."""
        for chips in CHIPS[1:]:
            for cycles in CYCLES:
                for board in map(load, BOARDS):
                    case = board, chips, "chips", RATES[0], 0.0, cycles
                    outcome, _ = self.outcome(*case, greedy=True)
                    shape = f"{name} {_link(RATES[0])}, chips add, best tokens, {counted(chips)}"
                    what = f"speed of greedy text at {cycles} cycles"
                    yield _row(what, board.name, shape, 1 / outcome.seconds, "tokens/s")

    def scaling(self, name: str, board: Board) -> Iterator[Row]:
        """Yields rows of up to 100 chips, whatever their heaps, and of the number with the highest
        rate."""
        for rate in (None, RATES[0]):
            for combine in _MODELS:
                speeds = {}
                for chips in MANY:
                    if chips == 1 and combine == "chips":
                        continue
                    outcome, _ = self.outcome(board, chips, combine, rate, 0.0, CYCLES[1])
                    speeds[chips] = 1 / outcome.seconds
                    shape = f"{name} {_link(rate)}, {_WORDS[combine]}, {counted(chips)}"
                    yield _row("speed by count", board.name, shape, speeds[chips], "tokens/s")
                best = max(speeds, key=lambda chips: speeds[chips])
                shape = f"{name} {_link(rate)}, {_WORDS[combine]}"
                yield _row("most tokens/s with", board.name, shape, best, "chips")

    def fit_errors(self, name: str) -> Iterator[Row]:
        """Yields rows of the largest deviation of fitted instructions from emulated ones."""
        for combine, by_target in self.works.items():
            for target, work in by_target.items():
                shape, value = f"{name}, {_WORDS[combine]}", 100 * work.error
                yield _row("worst error of the fit", target, shape, value, "%")

    def constants(self) -> Iterator[str]:
        """Yields the fitted formulas, as lines of text."""
        for combine, by_target in self.works.items():
            for target, work in by_target.items():
                where = f"{_WORDS[combine]}, {target}, position {self._position}"
                yield f"{where}: {work.described()}"

    def _row(
        self,
        name: str,
        board: Board,
        chips: int,
        combine: str,
        rate: Rate | None,
        loss: float,
        cycles: float,
        *,
        outcome: Outcome,
        fits: bool,
    ) -> Row:
        shape = f"{name} {_link(rate)}, {_WORDS[combine]}, {counted(chips)}, loss {loss:.0%}"
        what = f"speed at {cycles} cycles" + ("" if fits else ", heap too small")
        return _row(what, board.name, shape, 1 / outcome.seconds, "tokens/s")


def mean_bits(vectors: Sequence[np.ndarray]) -> int:
    """Returns the mean of the bits to which such vectors are packed."""
    widths = [bits_needed(array("i", each.tolist()), len(each)) for each in vectors]
    return round(sum(widths) / len(widths))


def _cases(rate: Rate | None) -> list[tuple[float, float]]:
    """Yields losses and cycles per instruction; the lower rate only without losses."""
    losses = LOSSES[1:] if rate != RATES[-1] else ()
    return [(0.0, cycles) for cycles in CYCLES] + [(loss, CYCLES[1]) for loss in losses]


def _fits(plan: Plan, board: Board) -> bool:
    kind, reduce = "espnow" if plan.link.mtu else "uart", plan.parallelism.reduce
    heap = board.planned_heap(kind, reduce, is_signed=plan.link.signed)
    more = board.gateway_code(reduce) if plan.link.mtu else 0
    return all(
        plan.heap_need(shard).total + (more if shard.chip == 0 else 0) <= usable_heap(heap)
        for shard in plan.shards
    )


def _link(rate: Rate | None) -> str:
    return "uart" if rate is None else f"espnow {rate.name}"


def _row(what: str, target: str, shape: str, value: float, unit: str) -> Row:
    return Row(what, target, shape, round(value, 2), unit, Label.MODELLED)
