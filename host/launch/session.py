"""A federation that runs: from the ports upward, boards and simulated chips are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from host.build.firmware_version import firmware_version
from host.build.shard import shard_digest
from host.cluster.coordinator import Coordinator
from host.cluster.messages import Messages
from host.errors import ClusterError
from host.executors.all_reduce import CombinedFederation
from host.executors.host_reduce import Federation
from host.executors.pipeline import StagedFederation
from host.links.transport import Transport
from host.model.quantized import QuantizedModel
from host.parallel.plan import Plan
from host.wire.reports import Ready
from host.wire.session import HostAuthenticator


@dataclass(frozen=True)
class Running:
    """A connected federation, what its chips said of themselves, bytes of their shard files."""

    federation: Federation | CombinedFederation | StagedFederation
    coordinator: Coordinator
    transport: Transport
    ready: dict[int, Ready]
    shard_bytes: dict[int, int]


@contextmanager
def connected(
    model: QuantizedModel,
    plan: Plan,
    transport: Transport,
    *,
    shards: Mapping[int, bytes],
    key: bytes = b"",
    start_patience: float,
    patience: float = 2.5,
    watch: Callable[[], None] = lambda: None,
    arrived: Callable[[int], None] = lambda chip: None,
) -> Iterator[Running]:
    """The federation of the chips at the other end of `transport`, which is closed at the end.

    shards: each chip's shard file; key: of the cluster; start_patience, patience: seconds until a
    chip must answer, at the start and later; watch: as Coordinator's; arrived: called with each
    chip that is ready. Raises ClusterError for a chip that is silent or holds another firmware,
    model or share.
    """
    try:
        signer = HostAuthenticator(key) if key else None
        coordinator = Coordinator(
            transport,
            range(plan.chips),
            signer=signer,
            patience=patience,
            watch=watch,
        )
        digests = {chip: shard_digest(file) for chip, file in shards.items()}
        federation: Federation | CombinedFederation | StagedFederation
        if plan.strategy.executor == "pipeline":
            messages = Messages(transport, plan.chips, signer)
            federation = StagedFederation(
                model, plan, coordinator, digests, messages, patience=patience, watch=watch
            )
        else:
            kind = CombinedFederation if plan.strategy.executor == "all_reduce" else Federation
            federation = kind(model, plan, coordinator, digests)
        ready = federation.connect(start_patience, arrived)
        for chip, said in sorted(ready.items()):
            _check_version(chip, said.firmware)
        sizes = {chip: len(file) for chip, file in shards.items()}
        yield Running(federation, coordinator, transport, ready, sizes)
    finally:
        transport.close()


def _check_version(chip: int, firmware: str) -> None:
    if firmware != firmware_version():
        raise ClusterError(
            f"chip {chip} runs firmware {firmware}, this is {firmware_version()}: flash it again"
        )
