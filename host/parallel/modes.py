"""The ways to run a model on a cluster, each with what it takes, and which is the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from host.boards import Board
from host.model.checkpoint import ModelError
from host.model.quantized import QuantizedModel
from host.parallel.instructions import KERNELS, matrix_speed
from host.parallel.latency import Latency, NotModelled, latency
from host.parallel.memory import board_heap, usable
from host.parallel.plan import Plan, Share, tensor_parallel
from host.parallel.traffic import Traffic, token_synchronizations, traffic
from host.parallel.widths import SumWidths


@dataclass(frozen=True)
class Mode:
    """A way to divide the work. options: of host.run; what: in words."""

    options: str
    what: str
    combine: str


MODES = (
    Mode("--combine host", "the host adds up what chips answer", "host"),
    Mode("--combine chips", "chips keep the residual stream and add up among themselves", "chips"),
)


@dataclass(frozen=True)
class Cluster:
    """Boards, by chip, and how they are linked ("uart" or "espnow"). context: positions, None for
    all that the model allows; signed: whether frames are."""

    boards: tuple[Board, ...]
    link: str
    context: int | None = None
    signed: bool = False

    @property
    def heaps(self) -> list[int]:
        """Bytes of each chip's heap that plans may count with."""
        return [
            board_heap(board.heap_kb, self.link) if board.chip else board.heap_kb * 1024
            for board in self.boards
        ]

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
        return tensor_parallel(
            model,
            len(self.boards),
            self.context,
            heap=self.heaps,
            speeds=self.speeds,
            mtu=self.mtu,
            signed=self.signed,
            combine=mode.combine,
        )


@dataclass(frozen=True)
class Assessment:
    """What a mode takes on a cluster that it fits.

    traffic: of a token of greedy decoding, with partial sums as wide as the widest of a short
    text's; position: of the token whose latency is modelled, None where nothing is known of the
    boards' times.
    """

    mode: Mode
    cluster: Cluster
    plan: Plan
    traffic: Traffic
    position: int
    latency: Latency | None

    def free(self, share: Share) -> int:
        """Bytes of a chip's heap that the plan leaves."""
        return usable(self.cluster.heaps[share.chip]) - self.plan.heap_need(share).total

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
            }
        return {"options": self.mode.options, "chips": self._chips(), "token": token}

    def _chips(self) -> list[dict[str, Any]]:
        return [
            {
                "id": share.chip,
                "board": self.cluster.boards[share.chip].name,
                "layers": self.plan.config.layers,
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
    for mode in MODES:
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
    token = token_synchronizations(plan, width=widths, residual_bits=widths.residual_bits)
    position = plan.context // 2
    try:
        modelled = latency(plan, cluster.boards, token, position)
    except NotModelled:
        modelled = None
    return Assessment(mode, cluster, plan, traffic(plan, token), position, modelled)


def recommended(fitting: Sequence[Assessment]) -> Assessment | None:
    """The one with the shortest modelled latency, the first of equals; None where nothing is
    modelled."""
    timed = [(each.latency.total, at) for at, each in enumerate(fitting) if each.latency]
    return fitting[min(timed)[1]] if timed else None
