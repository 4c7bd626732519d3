"""An open cluster: an executor that is connected to all of its chips, and their reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from host.cluster.coordinator import Coordinator
from host.executors.executor import Executor, Idle
from host.hardware.board import Board
from host.launch.chip_statistics import ChipStatistics
from host.launch.choice import Choice
from host.links.transport import Transport
from host.model.outline import Divisible
from host.model.quantized import QuantizedModel
from host.simulation.chips import SimulatedCluster
from host.wire.reports import Ready

OnReady = Callable[[int], None]  # called with each chip that is ready


@dataclass(frozen=True)
class OpenCluster:
    """A cluster that holds a model and takes requests.

    ready: the READY of each chip; shard_bytes: the size of each chip's shard file; choice: how the
    model is divided, and why; simulation: the processes of simulated chips, None for boards;
    boards: that of each chip, empty if they are not known.
    """

    executor: Executor
    coordinator: Coordinator
    transport: Transport
    ready: Mapping[int, Ready]
    shard_bytes: Mapping[int, int]
    choice: Choice
    simulation: SimulatedCluster | None = None
    boards: tuple[Board, ...] = ()

    @property
    def is_simulated(self) -> bool:
        """Whether the chips are processes of this machine."""
        return self.simulation is not None

    @property
    def exchanged_bytes(self) -> int:
        """Bytes of frames between host and chips so far, both ways, as the host sees them."""
        return self.transport.bytes_sent + self.transport.bytes_received

    def statistics(self, collect: bool = True) -> list[ChipStatistics]:
        """Asks all chips for their counters, and returns the statistics of each.

        collect: whether chips collect garbage before they measure their heap. Raises ClusterError
        for a chip that does not answer.
        """
        counters = self.coordinator.statistics(collect)
        return [
            ChipStatistics.of(
                shard,
                self.shard_bytes[shard.chip],
                counters[shard.chip],
                self.ready[shard.chip].kernels,
                self.ready[shard.chip].mapping,
            )
            for shard in self.executor.plan.shards
        ]

    def idle(self, statistics: list[ChipStatistics]) -> Idle | None:
        """Returns how idle the stages of a pipeline were, None if there are none."""
        return self.executor.idle({each.chip: each.busy_ms for each in statistics})


class Chips(Protocol):
    """Chips that a model can be run on: SimulatedChips, FlashedBoards, RewrittenBoards."""

    @property
    def count(self) -> int:
        """The number of chips."""

    @property
    def context(self) -> int | None:
        """The positions that their KV caches hold, None for all that the model allows."""

    def check(self, outline: Divisible) -> None:
        """Raises ModelError if a model cannot fit them, judged by its header."""

    def choose(self, model: QuantizedModel, batch: bool = False) -> Choice:
        """Returns how to divide the model among them.

        batch: whether several sequences shall run at once. Raises ModelError if nothing fits.
        """

    def without_one(self, model: QuantizedModel) -> Chips | None:
        """Returns the chips to open if one of these is missing: fewer, with another plan.

        Returns None if the model does not fit those, or they cannot be given other shards.
        """

    def open(
        self, model: QuantizedModel, choice: Choice, on_ready: OnReady = ...
    ) -> AbstractContextManager[OpenCluster]:
        """Starts the chips, or connects to them; the context closes the cluster."""
