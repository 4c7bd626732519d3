"""Boards of a cluster of which some stay away: the others are given the shards of another plan.

That takes a line to each board's REPL, over which what differs is copied, and changes the
cluster's file: the boards are another cluster from then on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from serial.tools.list_ports import comports

from host.cluster import cluster_file, ports
from host.cluster.cluster_fields import ClusterFile, FlashedChip
from host.errors import ClusterError
from host.hardware.board import load
from host.launch.choice import Choice
from host.launch.cluster import OnReady, OpenCluster
from host.launch.flashed import FlashedBoards
from host.links.discovery import ListPorts
from host.model.outline import Divisible
from host.model.quantized import QuantizedModel

if TYPE_CHECKING:
    from host.cluster.place import Place

_LOG = logging.getLogger("federation")


@dataclass
class RewrittenBoards:
    """So many boards of a cluster, which are written anew where just so many answer.

    cluster: as it was flashed; file: where it is described, and what the boards become will be.
    """

    cluster: ClusterFile
    count: int
    file: Path
    list_ports: ListPorts = comports
    _written: ClusterFile | None = field(default=None, init=False)

    @property
    def context(self) -> int:
        """Positions that their KV caches hold."""
        return self.cluster.context

    def without_one(self, model: QuantizedModel) -> RewrittenBoards | None:
        """Returns one board fewer, None where none is left."""
        return replace(self, count=self.count - 1) if self.count > 1 else None

    def check(self, outline: Divisible) -> None:
        """Does nothing, as FlashedBoards."""

    def choose(self, model: QuantizedModel, batch: bool = False) -> Choice:
        """Returns the Parallelism that the boards were flashed for."""
        return Choice(self.cluster.parallelism, "as flashed")

    @contextmanager
    def open(
        self, model: QuantizedModel, choice: Choice, on_ready: OnReady = lambda chip: None
    ) -> Iterator[OpenCluster]:
        """Writes the boards, unless that is done, and connects to them.

        Raises ModelError where the model does not fit them, BoardError, ClusterError, FlashError.
        """
        if self._written is None:
            self._written = self._rewrite(model)
        boards = FlashedBoards(self._written, None, self.list_ports)
        with boards.open(model, choice, on_ready) as opened:
            yield opened

    def _rewrite(self, model: QuantizedModel) -> ClusterFile:
        old = self.cluster
        found = ports.find_boards(old, self.list_ports)
        if len(found) != self.count:
            missing = [str(chip.id) for chip in old.flashed if chip not in found]
            raise ClusterError(
                f"{len(found)} of {old.chips} boards answer"
                + (f", not chip {', '.join(missing)}" if missing else "")
            )
        new = shrink(old, found)
        places = [_place(new, chip) for chip in new.flashed]
        places[0].plan(model)  # before anything is written
        for place, before in zip(places, found, strict=True):
            _LOG.warning(
                "writing chip %d of %d, which was chip %d of %d, at %s",
                place.chip, place.chips, before.id, old.chips, place.port,
            )  # fmt: skip
            _write(place, model)
        cluster_file.change(lambda _: new, self.file)
        return new


def shrink(cluster: ClusterFile, found: Mapping[FlashedChip, str]) -> ClusterFile:
    """Returns the cluster that some of its boards are by themselves, numbered anew; found: the
    port of each."""
    chips = sorted(found, key=lambda chip: chip.id)
    flashed = tuple(
        replace(chip, id=number, port=found[chip]) for number, chip in enumerate(chips)
    )
    named = tuple(cluster.boards[chip.id] for chip in chips) if cluster.boards else ()
    return replace(cluster, chips=len(chips), flashed=flashed, boards=named)


def _write(place: Place, model: QuantizedModel) -> None:
    """Copies what differs to a board, and starts it again."""
    from host.flashing.updating import update  # takes a part of a second to import

    update(
        place.port,
        place.board,
        lambda system: place.files(model, system.version),
        lambda path, size, total: None,
    )


def _place(cluster: ClusterFile, chip: FlashedChip) -> Place:
    from host.cluster.place import Place  # with the machine code of all kernels

    others = tuple(load(other.board) for other in cluster.flashed if other.id != chip.id)
    return Place(
        load(chip.board), chip.port, chip.id, cluster.chips, cluster.link, cluster.parallelism,
        cluster.context, cluster.key, cluster.channel, tuple(map(load, cluster.boards)), others,
    )  # fmt: skip
