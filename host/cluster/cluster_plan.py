"""Derives from a cluster's file what is needed to run it: the plan, and the lines to its chips."""

from __future__ import annotations

from collections.abc import Sequence

from host.build.configuration import REPL_MTU
from host.cluster.cluster_fields import ClusterFile
from host.cluster.cluster_file import FILE
from host.errors import ClusterError
from host.hardware import boards
from host.hardware.board import Board
from host.links.access import REPL_BAUD
from host.model.outline import Divisible
from host.parallel.boards import BoardSet, plan_alike
from host.parallel.parallelism import Link, Parallelism
from host.parallel.plan import Plan
from protocol.frame import MAX_FRAME


def plan_cluster(model: Divisible, cluster: ClusterFile) -> Plan:
    """Returns the plan by which the boards of a cluster were flashed.

    Raises ModelError, BoardError.
    """
    named = tuple(map(boards.load, cluster.boards))
    known = [boards.load(name) for name in {chip.board for chip in cluster.flashed}]
    return plan_boards(
        model, cluster.chips, cluster.context, cluster.link, cluster.parallelism, named, known
    )


def plan_boards(
    model: Divisible,
    chips: int,
    context: int | None,
    link: Link,
    parallelism: Parallelism,
    named: tuple[Board, ...],
    known: Sequence[Board],
) -> Plan:
    """Returns the plan that flashing and running both use.

    named: the board of each chip, by whose heaps and speeds work is divided; if it is empty, all
    chips get equal shards, which must fit the smallest heap of the `known` boards. Raises
    ModelError if the model does not fit, and BoardError.
    """
    if named:
        placed = BoardSet(named, link.kind, context, link.signed, link.line, baud=link.baud)
        return placed.plan(model, parallelism)
    return plan_alike(model, chips, context, parallelism, link, known)


def line_mtu(cluster: ClusterFile) -> int:
    """Returns the longest frame in bytes on the host's lines."""
    longest = REPL_MTU if cluster.link.line == "usb" else MAX_FRAME
    return min(longest, cluster.link.mtu or longest)


def line_baud(cluster: ClusterFile, wanted: Sequence[int]) -> int:
    """Returns the bits per second on the lines of the `wanted` chips. Raises ClusterError,
    BoardError."""
    if cluster.link.is_ring:
        return cluster.link.baud
    if cluster.link.line == "usb":
        return REPL_BAUD
    check_flashed(cluster)
    kinds = [boards.load(chip.board) for chip in cluster.flashed if chip.id in wanted]
    bauds = {kind.uart.baud for kind in kinds if kind.uart}
    if len(bauds) != 1:
        raise ClusterError(
            f"the boards of {FILE} have no baud in common: give their files in boards/ the same,"
            " and flash the boards again"
        )
    return bauds.pop()


def check_flashed(cluster: ClusterFile) -> None:
    """Raises ClusterError for a chip that was not flashed yet."""
    missing = [chip for chip in range(cluster.chips) if cluster.chip(chip) is None]
    if missing:
        raise ClusterError(
            f"chip {missing[0]} of {cluster.chips} has not been flashed: make flash"
            f" CHIP_ID={missing[0]} BOARD=..."
        )
