"""The division of a model among boards, which flashing and running must agree on."""

from __future__ import annotations

from collections.abc import Sequence

from host.hardware.board import Board
from host.model.quantized import QuantizedModel
from host.parallel import modes
from host.parallel.plan import Plan
from host.parallel.staged import divided


def board_plan(
    model: QuantizedModel,
    chips: int,
    context: int | None,
    link: str,
    *,
    boards: Sequence[Board],
    known: Sequence[Board],
    mtu: int | None,
    signed: bool,
    combine: str,
    stages: int = 0,
) -> Plan:
    """boards: of each chip, by whose heaps and speeds the work is dealt; where it is empty, all
    are dealt the same, bounded by the smallest heap of the boards that are `known`, none for no
    bound. mtu: of the radio where those do not tell. Raises ModelError where it does not fit.
    """
    heaps: int | Sequence[int] | None
    if boards:
        cluster = modes.Cluster(tuple(boards), link)
        heaps, speeds, mtu = cluster.heaps(combine), cluster.speeds, cluster.mtu
    else:
        heaps = min((board.planned_heap(link, combine) for board in known), default=None)
        speeds = None
        mtu = min((board.espnow.mtu for board in known), default=mtu)
    return divided(
        model,
        chips,
        context,
        stages=stages,
        heap=heaps,
        speeds=speeds,
        mtu=mtu if link == "espnow" else None,
        signed=signed,
        combine=combine,
    )
