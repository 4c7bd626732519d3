"""A federation of simulated chips, started and connected: what `run` uses without boards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from host.build.bundle import chip_files
from host.build.configuration import SIMULATED_UART, configuration
from host.hardware.board import Board
from host.launch.session import Running, connected
from host.links.transport import Line, Port, Transport, open_port
from host.model.quantized import QuantizedModel
from host.parallel.parallelism import HOST_REDUCE, Link, Parallelism
from host.parallel.partition import partition
from host.setup.micropython import native_arch
from host.simulation.chips import SimulatedCluster
from host.simulation.lossy_port import LossyPort
from protocol.frame import MAX_FRAME
from protocol.session import MIN_KEY_SIZE

# Seconds within which chips must have started and loaded their shards: 20 of them on a slow core.
START_PATIENCE = 30.0


@dataclass(frozen=True)
class Settings:
    """How to simulate. heap: bytes of each chip's; loss: the probability that a frame is lost;
    key: of the cluster, empty for frames that are not signed; parallelism: how the model is
    divided."""

    chips: int
    link: str
    board: Board
    heap: int
    context: int | None = None
    loss: float = 0.0
    seed: int = 0
    key: bytes = b""
    parallelism: Parallelism = HOST_REDUCE

    @property
    def link_value(self) -> Link:
        """The link between the chips."""
        return Link(self.link, "pins", self.mtu, bool(self.key))

    @property
    def mtu(self) -> int | None:
        """The radio's longest frame in bytes, None on UART."""
        return self.board.mtu(self.link)


@dataclass(frozen=True)
class Simulated(Running):
    """A federation of simulated chips, and the chips."""

    cluster: SimulatedCluster


def random_key() -> bytes:
    """A cluster key."""
    return os.urandom(2 * MIN_KEY_SIZE)


@contextmanager
def running(
    model: QuantizedModel,
    settings: Settings,
    arrived: Callable[[int], None] = lambda chip: None,
) -> Iterator[Simulated]:
    """A federation of `settings.chips` chips; `arrived` is called with each when it is ready.

    Raises ModelError or DoesNotFit before anything is started, ClusterError for a chip that fails,
    SetupError without a MicroPython. Nothing is left when it ends.
    """
    plan = partition(
        model,
        settings.chips,
        settings.context,
        parallelism=settings.parallelism,
        link=settings.link_value,
        heap=settings.heap,
    )
    arch = native_arch()
    files = {
        shard.chip: chip_files(
            model,
            plan,
            shard,
            arch,
            configuration(plan, shard, uart=SIMULATED_UART, key=settings.key),
        )
        for shard in plan.shards
    }
    radio = None
    if settings.mtu is not None:
        radio = {"mtu": settings.mtu, "loss": settings.loss, "seed": settings.seed}
    shards = {chip: content["shard.bin"] for chip, content in files.items()}
    with ExitStack() as stack:
        cluster = stack.enter_context(
            SimulatedCluster(files, arch=arch, heap=settings.heap, radio=radio)
        )
        session = stack.enter_context(
            connected(
                model,
                plan,
                _transport(settings, cluster),
                shards=shards,
                key=settings.key,
                start_timeout=START_PATIENCE,
                watch=cluster.watch,
                on_ready=arrived,
                is_lossless=not settings.loss,
            )
        )
        yield Simulated(**vars(session), cluster=cluster)


def _transport(settings: Settings, cluster: SimulatedCluster) -> Transport:
    """On UART a line to each chip, on ESP-NOW the gateway's for all."""
    baud = SIMULATED_UART["baudrate"]
    if settings.mtu is not None:
        gateway = Line(open_port(cluster.chips[0].url, baud))
        return Transport(dict.fromkeys(cluster.chips, gateway), settings.mtu)
    lines = {}
    for chip, simulated in cluster.chips.items():
        port: Port = open_port(simulated.url, baud)
        if settings.loss:
            port = LossyPort(port, seed=settings.seed * 256 + chip, loss=settings.loss)
        lines[chip] = Line(port)
    return Transport(lines, MAX_FRAME)
