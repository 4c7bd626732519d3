"""A whole cluster in virtual time: the host's executor and coordinator, and its chips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from bench.virtual.chip import VirtualChip
from bench.virtual.world import World
from host.build.configuration import SIMULATED_UART, configuration
from host.build.shard import shard_digest, shard_file
from host.cluster.coordinator import Coordinator
from host.cluster.dispatcher import Dispatcher
from host.executors import open_executor
from host.executors.executor import Executor
from host.model.quantized import QuantizedModel
from host.parallel.parallelism import Link, Parallelism
from host.parallel.partition import partition
from host.wire.session import HostAuthenticator
from protocol.frame import BROADCAST, DST, HOST, MAX_FRAME, SRC

KEY = bytes(range(32))
BAUD = SIMULATED_UART["baudrate"]


class VirtualTransport:
    """Replaces host.links.transport.Transport: a line to each chip, or the gateway's to all, or
    the lines of a ring.

    is_lost: whether a frame that a chip sends is lost, besides those that lines lose at random;
    carried: the most bits per second on a chip's line, if it is limited; frames_on_lines: of a
    ring.
    """

    def __init__(self, world: World, link: Link) -> None:
        self.world, self.mtu = world, link.mtu or MAX_FRAME
        self.chips: dict[int, VirtualChip] = {}
        self.frames_sent = self.frames_received = 0
        self.is_lost: Callable[[int, bytes], bool] = lambda source, frame: False
        self.carried: dict[int, int] = {}
        self.bauds: dict[int, int] = {}  # of the host's ends of lines, where they were changed
        self._has_gateway, self._is_ring = link.has_radio, link.is_ring
        self.frames_on_lines = 0
        self._arrived: list[bytes] = []

    def send(self, frame: bytes, destination: int) -> None:
        """Sends a frame to a chip, or to all."""
        self.frames_sent += 1
        for chip in self._lines(destination):
            self._put(chip, frame)

    def receive(self, timeout: float) -> list[bytes]:
        """Returns frames for the host; lets time pass until there are any."""
        until = self.world.seconds() + max(timeout, 0.001)
        while not self._arrived and self.world.seconds() < until:
            self.world.step()
        arrived, self._arrived = self._arrived, []
        self.frames_received += len(arrived)
        return arrived

    def is_sending(self, chip: int) -> bool:
        """Returns False: lines are never full here."""
        return False

    def first_chips(self) -> list[int]:
        """Does what Transport's does."""
        return [0] if self._has_gateway or self._is_ring else list(self.chips)

    def set_baud(self, chip: int, baud: int) -> None:
        """Does what Transport's does."""
        self.bauds[chip] = baud

    def fall_back(self, chip: int) -> None:
        """Does what Transport's does."""
        line = self._lines(chip)[0]
        if self.bauds.pop(line.chip, BAUD) != BAUD and line.uart.baud != BAUD:
            line.uart.disturb(32)

    def _is_understood(self, chip: VirtualChip) -> bool:
        baud = self.bauds.get(chip.chip, BAUD)
        return baud == chip.uart.baud and baud <= self.carried.get(chip.chip, baud)

    def take(self, source: int, frame: bytes) -> None:
        """Takes a frame from a chip; relays it if it is for others."""
        if self.is_lost(source, frame) or not self._is_understood(self.chips[source]):
            return
        self.frames_on_lines += self._is_ring
        if self._is_ring and source + 1 in self.chips:
            self.world.carry(self.chips[source + 1].arrive, frame)
            return
        self.world.carry(
            lambda arrived: self.arrive(source, arrived), frame, not self._has_gateway
        )

    def arrive(self, source: int, frame: bytes) -> None:
        """Takes a frame at the host's end of a chip's line."""
        destination = frame[DST] if len(frame) > DST else HOST
        if destination == HOST:
            self._arrived.append(frame)
        elif self._is_ring:
            if frame[SRC] != HOST and destination in self.chips:
                self._put(self.chips[0], frame)
        else:
            for chip in self._lines(destination):
                if chip.chip != source:
                    self._put(chip, frame)

    def _put(self, chip: VirtualChip, frame: bytes) -> None:
        if self._is_understood(chip):
            self.frames_on_lines += self._is_ring
            self.world.carry(chip.arrive, frame, not self._has_gateway)
        else:
            chip.uart.disturb(1)

    def _lines(self, destination: int) -> list[VirtualChip]:
        if self._has_gateway or self._is_ring:
            return [self.chips[0]]
        if destination == BROADCAST:
            return list(self.chips.values())
        return [self.chips[destination]] if destination in self.chips else []


class VirtualCluster:
    """A connected cluster. chips: in order; executor, coordinator: the host's own; world: their
    time."""

    def __init__(
        self,
        world: World,
        model: QuantizedModel,
        count: int,
        parallelism: Parallelism,
        link: Link,
        timeout: float,
    ) -> None:
        self.world, self.model = world, model
        self.plan = plan = partition(model, count, parallelism=parallelism, link=link)
        key = KEY if link.signed else b""
        transport: Any = VirtualTransport(world, link)
        self.transport = transport
        digests = {}
        for shard in plan.shards:
            file = shard_file(model, plan, shard)
            digests[shard.chip] = shard_digest(file)
            config = configuration(plan, shard, uart=SIMULATED_UART, key=key, fast=True)
            send = partial(transport.take, shard.chip)
            transport.chips[shard.chip] = VirtualChip(world, model, config, file, send)
        self.chips: list[VirtualChip] = list(transport.chips.values())
        world.machines += self.chips
        self.signer = HostAuthenticator(key, world.chance.randbytes) if key else None
        self.dispatcher = Dispatcher(transport, range(count), self.signer)
        self.coordinator = Coordinator(
            self.dispatcher, timeout=timeout, clock=world.seconds, is_lossless=not world.loss
        )
        self.executor: Executor = open_executor(model, plan, self.coordinator, digests)
        self.executor.greedy = True
        self.executor.connect(10.0)

    def generate(self, prompt: list[int], steps: int, before: Any = None) -> list[int]:
        """Returns all tokens of a greedy text of so many positions. before: called with each
        position before its token is run."""
        self.executor.begin()
        tokens = list(prompt)
        logits = self.executor.forward(tokens)
        while len(tokens) < steps:
            tokens.append(int(logits.argmax()))
            if before:
                before(len(tokens))
            if len(tokens) < steps:
                logits = self.executor.forward(tokens[-1:])
        return tokens


@contextmanager
def virtual_cluster(
    model: QuantizedModel,
    count: int,
    parallelism: Parallelism,
    link: Link,
    *,
    loss: float = 0.0,
    seed: int = 0,
    timeout: float = 2.5,
    mtus: Mapping[int, int] | None = None,
) -> Iterator[VirtualCluster]:
    """Yields a connected cluster; timeout: seconds, as for the coordinator; mtus: as for World."""
    world = World(loss, seed)
    world.mtus.update(mtus or {})
    with world.rules():
        yield VirtualCluster(world, model, count, parallelism, link, timeout)
