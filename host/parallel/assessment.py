"""Assesses what each strategy takes on a set of boards, and recommends one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from host.errors import ModelError
from host.model.quantized import QuantizedModel
from host.parallel.boards import BoardSet
from host.parallel.cost.chip_times import NotModelled
from host.parallel.cost.estimate import describe_limit, model_first_token
from host.parallel.cost.latency import Latency, LatencyModel
from host.parallel.cost.reading import Reading, read_weights
from host.parallel.cost.recorded_text import RecordedText
from host.parallel.cost.throughput import count_rows, model_throughput
from host.parallel.cost.traffic import Traffic, count_traffic
from host.parallel.cost.widths import SumWidths
from host.parallel.fitting import explain, find_plans
from host.parallel.heap import usable_heap
from host.parallel.parallelism import Parallelism
from host.parallel.plan import Plan, Shard
from host.parallel.strategies import find_strategy


@dataclass(frozen=True)
class Assessment:
    """What a plan takes on the boards that it fits.

    traffic: of a token of greedy decoding, with partial sums as wide as the widest of a short
    text; latency: of a token at `position`, None if the boards' times are unknown; throughput:
    tokens per second of as many sequences as there are slots; first_token: seconds to the first
    token after a prompt of PROMPT tokens (host/parallel/cost/estimate.py).
    """

    boards: BoardSet
    plan: Plan
    traffic: Traffic
    position: int
    latency: Latency | None
    throughput: float
    first_token: float = 0.0

    @property
    def options(self) -> str:
        """The command-line options for the plan's parallelism."""
        return self.plan.strategy.describe_options(self.plan.parallelism)

    def free(self, shard: Shard) -> int:
        """Returns the bytes of a chip's heap that the plan leaves free."""
        heap = self.boards.heaps(self.plan.parallelism)[shard.chip]
        return usable_heap(heap) - self.plan.heap_need(shard).total

    def readings(self, shard: Shard) -> list[Reading]:
        """Returns where a chip's weights are read from, and how many bytes for each token."""
        return read_weights(self.plan, shard.chip, self.boards.boards[shard.chip])

    def as_dict(self) -> dict[str, Any]:
        """Returns the object for `--json`, in bytes and seconds."""
        token = asdict(self.traffic)
        token["modelled"] = None
        if self.latency:
            token["modelled"] = {
                **asdict(self.latency),
                "links": self.latency.links,
                "percent": self.latency.percent,
                "position": self.position,
                "total": self.latency.total,
                "tokens_per_second": self.latency.tokens_per_second,
                "tokens_per_second_of_many": self.throughput,
                "first_token": self.first_token,
                "limit": describe_limit(self.latency),
            }
        return {
            "options": self.options,
            "parallelism": asdict(self.plan.parallelism),
            "slots": self.plan.slots,
            "chips": [self._describe_chip(shard) for shard in self.plan.shards],
            "token": token,
        }

    def _describe_chip(self, shard: Shard) -> dict[str, Any]:
        return {
            "id": shard.chip,
            "board": self.boards.boards[shard.chip].name,
            "layers": len(self.plan.stage_of(shard.chip).layers),
            "heads": list(shard.heads),
            "kv_heads": list(shard.kv_heads),
            "units": len(shard.units),
            "rows": len(shard.rows),
            "heap": {**asdict(self.plan.heap_need(shard)), "free": self.free(shard)},
            "weights": [asdict(read) for read in self.readings(shard)],
        }


def describe_options(parallelism: Parallelism) -> str:
    """Returns the command-line options for a parallelism."""
    return find_strategy(parallelism).describe_options(parallelism)


def assess(
    model: QuantizedModel, boards: BoardSet, plan: Plan, text: RecordedText | None = None
) -> Assessment:
    """Returns the assessment of a plan for these boards; text: the model's, recorded once for
    several plans, or None."""
    sums = SumWidths(model, plan, text)
    sums.run_typical()
    token = tuple(plan.strategy.synchronizations(plan, True, sums.widths))
    position = plan.context // 2
    modelled, rate, first = None, 0.0, 0.0
    with suppress(NotModelled):
        times = LatencyModel(plan, boards.boards, boards.kernels)
        modelled = times.latency(token, position)
        rows = count_rows(plan)
        together = plan.strategy.synchronizations(plan, True, sums.widths, rows)
        rate = model_throughput(times, together, position, rows)
        first = model_first_token(plan, times, sums.widths)
    return Assessment(boards, plan, count_traffic(plan, token), position, modelled, rate, first)


def assess_all(
    model: QuantizedModel, boards: BoardSet, text: RecordedText | None = None
) -> tuple[list[Assessment], dict[Parallelism, ModelError]]:
    """Returns the assessment of each parallelism that fits, and for each other the reason."""
    plans, problems = find_plans(model, boards)
    text = text or RecordedText(model)
    return [assess(model, boards, plan, text) for plan in plans], problems


def recommend(fitting: Sequence[Assessment], many: bool = False) -> Assessment | None:
    """Returns the assessment with the lowest modelled latency or, for many sequences, the highest
    throughput; the first of equals; None if times cannot be modelled."""
    timed = [
        (-each.throughput if many else each.latency.total, at)
        for at, each in enumerate(fitting)
        if each.latency
    ]
    return fitting[min(timed)[1]] if timed else None


def choose_parallelism(model: QuantizedModel, boards: BoardSet, many: bool = False) -> Parallelism:
    """Returns the recommended parallelism or, if times cannot be modelled, the first that fits.

    many: whether to choose for many sequences. Raises ModelError if none fits.
    """
    fitting, problems = assess_all(model, boards)
    if not fitting:
        raise explain(problems)
    return (recommend(fitting, many) or fitting[0]).plan.parallelism
