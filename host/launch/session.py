"""Opens a session with chips; from their ports upward, boards and simulated chips are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from host.build.firmware_version import firmware_version
from host.build.shard import shard_digest
from host.cluster.coordinator import Coordinator
from host.cluster.dispatcher import Dispatcher
from host.errors import ClusterError
from host.executors import open_executor
from host.hardware.board import Board
from host.launch.choice import Choice
from host.launch.cluster import OnReady, OpenCluster
from host.links.transport import Transport
from host.model.quantized import QuantizedModel
from host.parallel.plan import Plan
from host.simulation.chips import SimulatedCluster
from host.wire.session import HostAuthenticator


@contextmanager
def open_session(
    model: QuantizedModel,
    plan: Plan,
    transport: Transport,
    *,
    shards: Mapping[int, bytes],
    key: bytes = b"",
    start_timeout: float,
    timeout: float = 2.5,
    watch: Callable[[], None] = lambda: None,
    on_ready: OnReady = lambda chip: None,
    is_lossless: bool = False,
    line_seconds: float = 0.0,
    choice: Choice | None = None,
    simulation: SimulatedCluster | None = None,
    boards: tuple[Board, ...] = (),
) -> Iterator[OpenCluster]:
    """Connects an executor to the chips at the other end of `transport`; the context closes it.

    shards: each chip's shard file; key: the cluster key, empty if frames are not signed;
    start_timeout, timeout: seconds until a chip must answer, at the start and later; on_ready:
    called with each chip that is ready; watch, is_lossless, line_seconds: those of Coordinator;
    choice, simulation, boards: those of OpenCluster.

    Raises ClusterError for a chip that does not answer or holds another firmware, model or
    shard.
    """
    try:
        signer = HostAuthenticator(key) if key else None
        coordinator = Coordinator(
            Dispatcher(transport, range(plan.chips), signer),
            timeout=timeout,
            watch=watch,
            is_lossless=is_lossless,
            line_seconds=line_seconds,
        )
        digests = {chip: shard_digest(file) for chip, file in shards.items()}
        executor = open_executor(model, plan, coordinator, digests)
        ready = executor.connect(start_timeout, on_ready)
        for chip, report in sorted(ready.items()):
            _check_version(chip, report.firmware)
        sizes = {chip: len(file) for chip, file in shards.items()}
        choice = choice or Choice(plan.parallelism, "as planned")
        yield OpenCluster(
            executor, coordinator, transport, ready, sizes, choice, simulation, boards
        )
    finally:
        transport.close()


def _check_version(chip: int, firmware: str) -> None:
    if firmware != firmware_version():
        raise ClusterError(
            f"chip {chip} runs firmware {firmware}, this is {firmware_version()}: flash it again"
        )
