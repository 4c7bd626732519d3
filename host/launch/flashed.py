"""Connects to flashed boards, which `run --ports` uses in place of simulated chips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from serial.tools.list_ports import comports

from host.build.shard import shard_file
from host.cluster import cluster_file, ports
from host.cluster.cluster_fields import ClusterFile
from host.cluster.cluster_plan import check_flashed, line_baud, line_mtu, plan_cluster
from host.cluster.coordinator import Coordinator
from host.cluster.line_speed import raise_speeds, restore_speeds, speeds_to_try
from host.errors import ClusterError
from host.hardware import boards
from host.hardware.board import Board
from host.hardware.boards import load
from host.hardware.kernels import matrix_padding
from host.launch.choice import Choice
from host.launch.cluster import Chips, OnReady, OpenCluster
from host.launch.session import open_session
from host.links.access import PortClosed, open_exclusively
from host.links.discovery import ListPorts, find_candidates, locate
from host.links.reconnecting_transport import ReconnectingTransport
from host.links.transport import Line, Port, Transport
from host.model.outline import Divisible
from host.model.quantized import QuantizedModel
from host.parallel.cost.traffic import busy_seconds
from host.parallel.plan import Plan
from host.parallel.refusal import DoesNotFit
from protocol.messages import HASH_SIZE

# Seconds in which a board starts, waits for a user of its REPL and loads its shard, or is plugged
# in again; and in which it must answer later: its loop may hang until the watchdog resets it.
START_TIMEOUT, TIMEOUT = 10.0, 15.0


@dataclass(frozen=True)
class FlashedBoards:
    """The boards of a cluster.

    urls: their ports, in any order, or None to find them wherever they are plugged in; on ESP-NOW
    only that of the gateway, in a ring that of the adapter; list_ports: lists this machine's
    ports; fewer: the boards to open if one of these is missing, or None.
    """

    cluster: ClusterFile
    urls: Sequence[str] | None = None
    list_ports: ListPorts = comports
    fewer: Chips | None = None

    @property
    def count(self) -> int:
        """The number of boards."""
        return self.cluster.chips

    @property
    def context(self) -> int:
        """Positions that their KV caches hold."""
        return self.cluster.context

    def check(self, outline: Divisible) -> None:
        """Does nothing: the boards hold a model already; its hash is compared when they open."""

    def without_one(self, model: QuantizedModel) -> Chips | None:
        """Returns `fewer`: these boards have the shards of a plan for all of them."""
        return self.fewer

    def choose(self, model: QuantizedModel, batch: bool = False) -> Choice:
        """Returns the Parallelism that the boards were flashed for."""
        return Choice(self.cluster.parallelism, "as flashed")

    @contextmanager
    def open(
        self, model: QuantizedModel, choice: Choice, on_ready: OnReady = lambda chip: None
    ) -> Iterator[OpenCluster]:
        """Connects to the boards. Raises ModelError, BoardError, ClusterError."""
        _check_model(model, self.cluster)
        plan = _plan(model, self.cluster)
        transport = self._transport()
        session = open_session(
            model,
            plan,
            transport,
            shards={
                shard.chip: shard_file(model, plan, shard, self._padding(shard.chip))
                for shard in plan.shards
            },
            key=self.cluster.key,
            start_timeout=START_TIMEOUT,
            timeout=TIMEOUT,
            on_ready=on_ready,
            line_seconds=busy_seconds(plan, self._baud()),
            choice=choice,
            boards=_boards(self.cluster),
        )
        with session as opened, self._fast_lines(opened.coordinator, transport):
            yield opened

    @contextmanager
    def _fast_lines(self, coordinator: Coordinator, transport: Transport) -> Iterator[None]:
        """Sets lines to pins to the fastest speed that all carry, and remembers it in the file."""
        cluster, base = self.cluster, self._baud()
        if cluster.link.line != "pins" or cluster.link.is_ring:
            yield  # USB, the REPL's port and a ring keep their speed
            return
        reached = raise_speeds(coordinator, transport, base, speeds_to_try(base, cluster.baud))
        if reached != cluster.baud:
            with suppress(ClusterError):  # the speed is tried again next time
                if cluster_file.read():
                    cluster_file.change(lambda now: replace(now or cluster, baud=reached))
        try:
            yield
        finally:
            if reached != base:
                restore_speeds(coordinator, transport, base)

    def _padding(self, chip: int) -> int:
        """Returns the padding with which the matrices of a chip's shard were stored."""
        flashed = self.cluster.chip(chip)
        return matrix_padding(boards.load(flashed.board).chip) if flashed else 1

    @property
    def _wanted(self) -> list[int]:
        """Returns the chips to which the host has a line."""
        return [0] if self.cluster.link.has_one_line else list(range(self.cluster.chips))

    def _baud(self) -> int:
        return line_baud(self.cluster, self._wanted)

    def _transport(self) -> Transport:
        """Opens the lines: on UART one to each board, else that of the gateway or the ring."""
        cluster, wanted, baud = self.cluster, self._wanted, self._baud()
        if self.urls is None:
            check_flashed(cluster)
            lines = ports.find_lines(cluster, wanted, self.list_ports, baud)
        else:
            _check_urls(self.urls, cluster, wanted)
            lines = ports.open_lines(self.urls, cluster, wanted, baud)
        reopen = self._reopen(lines, baud)
        if cluster.link.has_one_line:
            lines = dict.fromkeys(range(cluster.chips), lines[0])
        return ReconnectingTransport(lines, line_mtu(cluster), reopen, START_TIMEOUT)

    def _reopen(self, lines: Mapping[int, Line], baud: int) -> Callable[[int], Port]:
        """Returns a function that opens a chip's port again: where USB says that its board is now,
        else where it was."""
        urls: dict[int, str] = {chip: line.port.name for chip, line in lines.items()}

        def open_again(chip: int) -> Port:
            url: str | None = urls[chip]
            entry = self.cluster.chip(chip)
            if entry and self.cluster.link.line == "usb":
                present = find_candidates(self.list_ports)
                url = locate(entry.mac, urls[chip], present)
            if url is None:
                raise PortClosed(f"chip {chip} is on no port", "plug it in")
            port: Port = open_exclusively(url, baud)
            return port

        return open_again


def _check_model(model: QuantizedModel, cluster: ClusterFile) -> None:
    digest = model.sha256()[:HASH_SIZE]
    if cluster.model_hash not in (b"", digest):
        raise ClusterError(
            f"the boards were flashed with {cluster.model} ({cluster.model_hash.hex()}) and this"
            f" model is {digest.hex()}: give --model {cluster.model}, or flash the boards again"
        )


def _boards(cluster: ClusterFile) -> tuple[Board, ...]:
    """Returns the board of each chip, with the speed that its line was found to support; none if
    the file does not name all of them."""
    names = cluster.boards or tuple(chip.board for chip in cluster.flashed)
    if len(names) != cluster.chips:
        return ()
    known = tuple(map(load, names))
    return tuple(board.with_baud(cluster.baud) for board in known) if cluster.baud else known


def _plan(model: QuantizedModel, cluster: ClusterFile) -> Plan:
    try:
        return plan_cluster(model, cluster)
    except DoesNotFit as error:  # by the figures of the version that flashed the boards it did
        raise ClusterError(
            f"{error}. That is how the boards were flashed ({cluster_file.FILE}): flash them all"
            " again, so that they fit"
        ) from None


def _check_urls(urls: Sequence[str], cluster: ClusterFile, wanted: Sequence[int]) -> None:
    if len(urls) != len(wanted):
        which = {
            "uart": "one of each chip", "espnow": "that of the gateway, chip 0",
            "ring": "that of the adapter to the first chip and from the last",
        }[cluster.link.kind]  # fmt: skip
        raise ClusterError(
            f"{len(urls)} port{'' if len(urls) == 1 else 's'} for {cluster.chips} chips on"
            f" {cluster.link.kind}: give {which}"
        )
    twice = next((url for url in urls if urls.count(url) > 1), None)
    if twice is not None:
        raise ClusterError(f"{twice} is given twice: each chip has a port of its own")
