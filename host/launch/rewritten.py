"""Gives the boards that are left of a cluster the shards of another plan, if some are missing.

That takes a line to each board's REPL, over which changed files are copied. It also changes the
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
from host.hardware.boards import load
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
    """`count` boards of a cluster, to be rewritten if exactly so many answer.

    cluster: as it was flashed; file: the cluster's file, which is rewritten too.
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
        """Returns one board fewer, None if none is left."""
        return replace(self, count=self.count - 1) if self.count > 1 else None

    def check(self, outline: Divisible) -> None:
        """Does nothing, as in FlashedBoards."""

    def choose(self, model: QuantizedModel, batch: bool = False) -> Choice:
        """Returns the Parallelism that the boards were flashed for."""
        return Choice(self.cluster.parallelism, "as flashed")

    @contextmanager
    def open(
        self, model: QuantizedModel, choice: Choice, on_ready: OnReady = lambda chip: None
    ) -> Iterator[OpenCluster]:
        """Writes the boards, unless that was done before, and connects to them.

        Raises ModelError if the model does not fit them, BoardError, ClusterError, FlashError.
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
    """Returns a cluster of only the boards that were found, with new chip ids; found: their
    ports."""
    chips = sorted(found, key=lambda chip: chip.id)
    flashed = tuple(
        replace(chip, id=number, port=found[chip]) for number, chip in enumerate(chips)
    )
    named = tuple(cluster.boards[chip.id] for chip in chips) if cluster.boards else ()
    return replace(cluster, chips=len(chips), flashed=flashed, boards=named)


def _write(place: Place, model: QuantizedModel) -> None:
    """Copies changed files to a board, and restarts it."""
    from host.flashing.updating import update  # here, because it takes long to import

    update(
        place.port,
        place.board,
        lambda system: place.files(model, system.version),
        lambda path, size, total: None,
    )


def _place(cluster: ClusterFile, chip: FlashedChip) -> Place:
    from host.cluster.place import Place  # here: it imports the machine code of all kernels

    others = tuple(load(other.board) for other in cluster.flashed if other.id != chip.id)
    return Place(
        load(chip.board), chip.port, chip.id, cluster.chips, cluster.link, cluster.parallelism,
        cluster.context, cluster.key, cluster.channel, tuple(map(load, cluster.boards)), others,
    )  # fmt: skip
