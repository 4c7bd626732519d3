"""The ways to run a model on a cluster, each with what it takes, and which is the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from host.errors import ModelError, ParallelError
from host.hardware.board import Board
from host.model.quantized import QuantizedModel
from host.parallel.cost.instructions import KERNELS, matrix_speed
from host.parallel.cost.latency import Latency, NotModelled, latency, throughput
from host.parallel.cost.traffic import Traffic, token_synchronizations, traffic
from host.parallel.cost.widths import SumWidths
from host.parallel.heap import usable
from host.parallel.plan import Plan, Share
from host.parallel.staged import divided, pipeline_stages


@dataclass(frozen=True)
class Mode:
    """A way to divide the work. options: of host.run; what: in words; combine, stages: as of a
    Plan, with no stages in tensor parallelism."""

    options: str
    what: str
    combine: str
    stages: int = 0


TENSOR = (
    Mode("--combine host", "the host adds up what chips answer", "host"),
    Mode("--combine chips", "chips keep the residual stream and add up among themselves", "chips"),
)
PARALLEL = ("tensor", "pipeline", "hybrid", "auto")
_STAGES = 2  # of a hybrid, where nothing else is said


def modes(layers: int, chips: int) -> tuple[Mode, ...]:
    """The ways to run a model of so many layers on so many chips."""
    pipeline = pipeline_mode(layers, chips)
    if chips == 1:
        return TENSOR
    if pipeline.stages <= _STAGES:
        return (*TENSOR, pipeline)
    return (*TENSOR, pipeline, hybrid_mode(_STAGES))


def pipeline_mode(layers: int, chips: int) -> Mode:
    """Whole layers on each chip."""
    what = "each chip holds whole layers, and passes on to the next what comes out of them"
    return Mode("--parallel pipeline", what, "chips", pipeline_stages(layers, chips))


def hybrid_mode(stages: int) -> Mode:
    """Whole layers on each group of chips."""
    what = "groups of chips divide whole layers, and pass on what comes out of them"
    return Mode(f"--parallel hybrid --stages {stages}", what, "chips", stages)


def chosen_mode(
    parallel: str | None, stages: int | None, combine: str | None, layers: int, chips: int
) -> Mode:
    """The mode that options name, which are None where they are not given.

    Raises ParallelError where they contradict each other.
    """
    if stages is not None and parallel != "hybrid":
        raise ParallelError("--stages is for --parallel hybrid")
    if combine is not None and parallel == "auto":
        raise ParallelError("--parallel auto: it chooses who combines too, leave --combine out")
    if combine == "host" and parallel in ("pipeline", "hybrid"):
        raise ParallelError(f"--parallel {parallel}: its chips combine by themselves, leave"
                            " --combine out")  # fmt: skip
    if parallel == "pipeline":
        return pipeline_mode(layers, chips)
    if parallel == "hybrid":
        return hybrid_mode(_STAGES if stages is None else stages)
    return TENSOR[combine == "chips"]


@dataclass(frozen=True)
class Cluster:
    """Boards, by chip, and how they are linked ("uart" or "espnow"). context: positions, None for
    all that the model allows; signed: whether frames are."""

    boards: tuple[Board, ...]
    link: str
    context: int | None = None
    signed: bool = False

    def heaps(self, combine: str) -> list[int]:
        """Bytes of each chip's heap that plans may count with, by who adds up the partial sums."""
        return [board.planned_heap(self.link, combine) for board in self.boards]

    @property
    def speeds(self) -> list[int] | None:
        """How fast each chip does matrix work, None where a board's clock is not known."""
        speeds = [
            matrix_speed(board.mpy_arch, board.clock_mhz)
            for board in self.boards
            if board.clock_mhz and board.mpy_arch in KERNELS
        ]
        return speeds if len(speeds) == len(self.boards) else None

    @property
    def mtu(self) -> int | None:
        """The radio's, None on UART."""
        return min(b.espnow.mtu for b in self.boards) if self.link == "espnow" else None

    def plan(self, model: QuantizedModel, mode: Mode) -> Plan:
        """The model divided among the chips. Raises ModelError where it does not fit."""
        return divided(
            model,
            len(self.boards),
            self.context,
            stages=mode.stages,
            combine=mode.combine,
            heap=self.heaps(mode.combine),
            speeds=self.speeds,
            mtu=self.mtu,
            signed=self.signed,
        )


@dataclass(frozen=True)
class Assessment:
    """What a mode takes on a cluster that it fits.

    traffic: of a token of greedy decoding, with partial sums as wide as the widest of a short
    text's; position: of the token whose latency is modelled, None where nothing is known of the
    boards' times; throughput: tokens a second of as many streams as there is room for.
    """

    mode: Mode
    cluster: Cluster
    plan: Plan
    traffic: Traffic
    position: int
    latency: Latency | None
    throughput: float

    def free(self, share: Share) -> int:
        """Bytes of a chip's heap that the plan leaves."""
        heap = self.cluster.heaps(self.mode.combine)[share.chip]
        return usable(heap) - self.plan.heap_need(share).total

    def as_dict(self) -> dict[str, Any]:
        """For `--json`: bytes, and seconds."""
        token = asdict(self.traffic)
        token["modelled"] = None
        if self.latency:
            token["modelled"] = {
                **asdict(self.latency),
                "position": self.position,
                "total": self.latency.total,
                "tokens_per_second": self.latency.tokens_per_second,
                "tokens_per_second_of_many": self.throughput,
            }
        return {
            "options": self.mode.options,
            "stages": len(self.plan.stages),
            "streams": self.plan.shape.slots,
            "chips": self._chips(),
            "token": token,
        }

    def _chips(self) -> list[dict[str, Any]]:
        return [
            {
                "id": share.chip,
                "board": self.cluster.boards[share.chip].name,
                "layers": len(self.plan.stage_of(share.chip).layers),
                "heads": list(share.heads),
                "kv_heads": list(share.kv_heads),
                "units": len(share.units),
                "rows": len(share.rows),
                "heap": {**asdict(self.plan.heap_need(share)), "free": self.free(share)},
            }
            for share in self.plan.shares
        ]


def assessments(
    model: QuantizedModel, cluster: Cluster
) -> tuple[list[Assessment], dict[Mode, ModelError]]:
    """Of each mode that fits, and what is wrong with each that does not."""
    fitting, problems = [], {}
    for mode in modes(model.config.layers, len(cluster.boards)):
        try:
            fitting.append(assessment(model, cluster, mode))
        except ModelError as problem:
            problems[mode] = problem
    return fitting, problems


def assessment(model: QuantizedModel, cluster: Cluster, mode: Mode) -> Assessment:
    """Of one mode. Raises ModelError where it does not fit."""
    plan = cluster.plan(model, mode)
    widths = SumWidths(model, plan)
    widths.run_typical()
    token = token_synchronizations(
        plan, width=widths, residual_bits=widths.residual_bits, residual=widths.residual
    )
    position = plan.context // 2
    modelled, rate = None, 0.0
    try:
        modelled = latency(plan, cluster.boards, token, position)
        rate = throughput(plan, cluster.boards, token, position)
    except NotModelled:
        pass
    return Assessment(mode, cluster, plan, traffic(plan, token), position, modelled, rate)


def recommended(fitting: Sequence[Assessment], many: bool = False) -> Assessment | None:
    """The one with the shortest modelled latency, or for many streams the highest throughput, the
    first of equals; None where nothing is modelled."""
    timed = [
        (-each.throughput if many else each.latency.total, at)
        for at, each in enumerate(fitting)
        if each.latency
    ]
    return fitting[min(timed)[1]] if timed else None


def best_mode(model: QuantizedModel, cluster: Cluster, many: bool = False) -> Mode:
    """The recommended one, or where nothing is modelled the first that fits; many: of streams.

    Raises ModelError where none fits.
    """
    fitting, problems = assessments(model, cluster)
    if not fitting:
        raise next(iter(problems.values()))
    return (recommended(fitting, many) or fitting[0]).mode
