"""Starts simulated chips and connects to them, which `run` uses without boards."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from host.build.bundle import chip_files
from host.build.configuration import SIMULATED_UART, configuration
from host.errors import ModelError
from host.hardware.board import Board
from host.hardware.boards import load
from host.hardware.mmu import map_settings
from host.launch.choice import Choice, choose_parallelism
from host.launch.cluster import OnReady, OpenCluster
from host.launch.session import open_session
from host.links.transport import Line, Port, Transport, open_port
from host.model.outline import Divisible
from host.model.quantized import QuantizedModel
from host.parallel.boards import BoardSet
from host.parallel.fitting import find_first_plan
from host.parallel.parallelism import BATCH_SLOTS, HEAP, HOST_REDUCE, Link, Parallelism
from host.setup.micropython import native_arch
from host.simulation.chips import SimulatedCluster
from host.simulation.lossy_port import LossyPort
from host.simulation.open_files import reserve_files
from protocol.fragment import LEAST_MTU
from protocol.frame import MAX_FRAME
from protocol.session import MIN_KEY_SIZE

SIMULATED_BOARD = "simulated"
# Seconds within which chips must have started and loaded their shards: for 20 on a slow core.
_START_TIMEOUT = 30.0
# Seconds for which a living process may be silent: on a busy machine it may have to wait that long
# for a processor. A dead one is noticed at once.
_TIMEOUT = 5.0


@dataclass(frozen=True)
class SimulatedChips:
    """Chips to simulate, all with the heap that one kind of board leaves to Python.

    parallelism: how the model is divided, None to choose what is modelled to be the fastest;
    context: positions, None for all that the model allows; loss: the probability that a frame is
    lost; seed: of the losses; kernels: "auto", "viper" or "native"; slots: sequences with a KV
    cache of their own, as far as heaps allow, 0 for as many as the use needs; shorter: by chip,
    bytes of the longest packet of radios that take less than the link's; weights: where chips keep
    them, if the parallelism is to be chosen.
    """

    count: int
    link: Link
    board: Board
    parallelism: Parallelism | None = HOST_REDUCE
    context: int | None = None
    loss: float = 0.0
    seed: int = 0
    kernels: str = "auto"
    slots: int = 0
    shorter: Mapping[int, int] = field(default_factory=dict)
    weights: str = HEAP

    @classmethod
    def alike(
        cls,
        count: int,
        kind: str = "espnow",
        board: str = SIMULATED_BOARD,
        *,
        signed: bool = False,
        heap: int | None = None,
        radio_mtu: int | None = None,
        line_baud: int | None = None,
        **settings: Any,
    ) -> SimulatedChips:
        """Returns `count` chips of one kind of board, given by its name, with its MTU.

        kind, signed: those of Link; heap: bytes of each chip's heap in place of the board's;
        radio_mtu: bytes of the longest packet on the radio in place of the board's; line_baud:
        bits per second that are modelled for its serial lines; settings: further fields. Raises
        BoardError.
        """
        loaded = load(board) if heap is None else load(board).with_heap(heap)
        if radio_mtu is not None and kind == "espnow":
            loaded = loaded.with_mtu(radio_mtu)
        if line_baud is not None:
            loaded = loaded.with_baud(line_baud)
        link = Link(kind, "pins", loaded.mtu(kind), signed, baud=line_baud or 0)
        return cls(count, link, loaded, **settings)

    @property
    def boards(self) -> BoardSet:
        """The boards that are simulated."""
        boards = (self.board,) * self.count
        kind, line, signed = self.link.kind, self.link.line, self.link.signed
        return BoardSet(
            boards, kind, self.context, signed, line, kernels=self.kernels,
            weights=self.weights, baud=self.link.baud,
        )  # fmt: skip

    def check(self, outline: Divisible) -> None:
        """Raises ModelError if a model cannot fit, judged by its header."""
        find_first_plan(outline, self.boards, self.parallelism)

    def without_one(self, model: QuantizedModel) -> SimulatedChips | None:
        """Returns one chip fewer, with another parallelism if this one does not fit them; None if
        none fits."""
        for parallelism in dict.fromkeys((self.parallelism, None)) if self.count > 1 else ():
            fewer = replace(self, count=self.count - 1, parallelism=parallelism)
            with suppress(ModelError):
                fewer.check(model)
                return fewer
        return None

    def choose(self, model: QuantizedModel, batch: bool = False) -> Choice:
        """Returns the Parallelism that was given, else the one that the planner chooses.

        batch: whether several sequences shall run at once. Raises ModelError if none fits.
        """
        if self.parallelism:
            choice = Choice(self.parallelism, "as given")
        else:
            choice = choose_parallelism(model, self.boards, batch)
        chosen = choice.parallelism
        slots = self.slots or chosen.slots
        if batch and not slots and chosen.strategy == HOST_REDUCE.strategy:
            slots = BATCH_SLOTS
        return replace(choice, parallelism=replace(chosen, slots=slots))

    @contextmanager
    def open(
        self, model: QuantizedModel, choice: Choice, on_ready: OnReady = lambda chip: None
    ) -> Iterator[OpenCluster]:
        """Starts the chips and connects to them; see open_cluster."""
        ports = 1 if self.link.has_one_line else self.count
        # A wire that loses frames is made of two.
        reserve_files(self.count, ports, 2 * self.count if self.link.is_ring and self.loss else 0)
        heap = self.boards.heaps(choice.parallelism)[0]
        plan = self.boards.plan(model, choice.parallelism)
        arch, key = native_arch(), make_key(self.link)
        files = {}
        for shard in plan.shards:
            config = configuration(
                plan, shard, uart=SIMULATED_UART, key=key, kernels=self.kernels
            )
            mapping = map_settings(self.board, is_simulated=True)
            files[shard.chip] = chip_files(model, plan, shard, arch, config, mapping=mapping)
        with ExitStack() as stack:
            simulation = stack.enter_context(
                SimulatedCluster(
                    files,
                    arch=arch,
                    heap=heap,
                    radio=self._radio(),
                    mtus=self._mtus(),
                    weights_room=self.board.weights_room,
                    ring=self._losses() if self.link.is_ring else None,
                )
            )
            session = open_session(
                model,
                plan,
                self._transport(simulation),
                shards={chip: content["shard.bin"] for chip, content in files.items()},
                key=key,
                start_timeout=_START_TIMEOUT,
                timeout=_TIMEOUT,
                watch=simulation.watch,
                on_ready=on_ready,
                is_lossless=not self.loss,
                choice=choice,
                simulation=simulation,
                boards=self.boards.boards,
            )
            yield stack.enter_context(session)

    def _radio(self) -> dict[str, Any] | None:
        """Returns the options of the radio's hub, None if there is no radio."""
        return self._losses() if self.link.has_radio else None

    def _losses(self) -> dict[str, Any]:
        return {"loss": self.loss, "seed": self.seed}

    def _mtus(self) -> dict[int, int]:
        """Returns by chip the bytes of the longest packet that its radio takes."""
        return {**dict.fromkeys(range(self.count), self.link.mtu or LEAST_MTU), **self.shorter}

    def _transport(self, simulation: SimulatedCluster) -> Transport:
        """Opens the lines: on UART one to each chip, else that of the gateway or the ring."""
        chips = simulation.chips
        if self.link.has_one_line:
            lines = dict.fromkeys(chips, self._line(0, chips[0].url))
        else:
            lines = {chip: self._line(chip, chips[chip].url) for chip in chips}
        return Transport(lines, self.link.mtu or MAX_FRAME)

    def _line(self, chip: int, url: str) -> Line:
        """Returns the line of a chip; without a radio it is the line that loses frames."""
        port: Port = open_port(url, SIMULATED_UART["baudrate"])
        if self.loss and not self.link.has_radio:
            port = LossyPort(port, seed=self.seed * 256 + chip, loss=self.loss)
        return Line(port)


def make_key(link: Link) -> bytes:
    """Returns a new cluster key if the link's frames are signed, else an empty one."""
    return os.urandom(2 * MIN_KEY_SIZE) if link.signed else b""
