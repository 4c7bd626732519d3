"""What a board's node says of itself, if one runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from host.build.configuration import REPL_MTU
from host.build.firmware_version import firmware_version
from host.cluster.cluster_file import Cluster
from host.cluster.coordinator import Coordinator
from host.cluster.dispatcher import Dispatcher
from host.cluster.ports import Greeting, PortSearch
from host.diagnosis.findings import Finding, fine, flash_again, wrong
from host.errors import ClusterError
from host.links.access import PortClosed
from host.links.transport import Line, Transport
from host.wire.reports import Ready, decode_error
from host.wire.session import HostAuthenticator
from protocol import message_types
from protocol.message import FederationMessage

# Seconds: a board that opening its port has reset is at its prompt before it starts its node, and
# is found there; what runs answers at once. Frames over the radio may be lost.
_PATIENCE, _WITHOUT_KEY, _OVER_RADIO = 3.0, 1.0, 2.0


@dataclass
class NodeReport:
    """chip: who answered, None for silence; opened: whether there was a port to ask at."""

    chip: int | None = None
    opened: bool = True
    findings: list[Finding] = field(default_factory=list)


def node_report(url: str, cluster: Cluster | None) -> NodeReport:
    """What answers at a port, and what it says of itself and of the chips behind it."""
    key = cluster.key if cluster else b""
    with PortSearch(Greeting(key), restarts=False) as search:
        search.add(url)
        answer = search.first(_PATIENCE)
        if url in search.closed:
            return NodeReport(None, False, [closed_finding(search.closed[url])])
        if answer:
            line = search.take([answer.src])[answer.src]
            return NodeReport(answer.src, True, list(_findings(answer, line, cluster)))
    return _without_key(url) if key else NodeReport()


def started(url: str, key: bytes, patience: float) -> FederationMessage | None:
    """The answer, READY or ERROR, of the node of a board that was just reset, None if there is
    none within `patience` seconds.

    Raises PortClosed where the port does not open, or is lost.
    """
    with PortSearch(Greeting(key)) as search:
        search.add(url, starting=True)
        answer = search.first(patience)
        if url in search.closed:
            raise search.closed[url]
        return answer


def closed_finding(error: PortClosed) -> Finding:
    """A port at which nothing can be asked."""
    return wrong(error.wrong, error.advice[:1].upper() + error.advice[1:])


def _without_key(url: str) -> NodeReport:
    """What a chip says that does not know of the cluster's key."""
    with PortSearch(Greeting(), restarts=False) as search:
        search.add(url)
        answer = search.first(_WITHOUT_KEY)
    if answer is None:
        return NodeReport()
    text = f"chip {answer.src} runs without a key, and federation.toml has one"
    return NodeReport(answer.src, True, [wrong(text, flash_again(answer.src))])


def _findings(answer: FederationMessage, line: Line, cluster: Cluster | None) -> Iterator[Finding]:
    chip = answer.src
    others = []
    if cluster and cluster.link == "espnow" and chip == 0:
        others = list(range(1, cluster.chips))
    signer = HostAuthenticator(cluster.key) if cluster and cluster.key else None
    transport = Transport(dict.fromkeys([chip, *others], line), REPL_MTU)
    coordinator = Coordinator(Dispatcher(transport, [chip, *others], signer))
    try:
        if answer.kind == message_types.ERROR:
            yield failed_finding(chip, decode_error(answer.payload).text, cluster)
        else:
            yield from _greeted(coordinator, chip, cluster, _PATIENCE)
        for other in others:
            yield from _greeted(coordinator, other, cluster, _OVER_RADIO)
    finally:
        transport.close()


def _greeted(
    coordinator: Coordinator, chip: int, cluster: Cluster | None, patience: float
) -> Iterator[Finding]:
    try:
        ready = coordinator.handshake([chip], patience, where="when greeted")[chip]
    except ClusterError as error:
        if chip in coordinator.last_errors:
            yield failed_finding(chip, coordinator.last_errors[chip], cluster)
        elif chip:
            yield wrong(
                f"no answer of chip {chip} over the radio",
                "Is it flashed, powered and within reach, on the same channel?",
            )
        else:
            yield wrong(str(error), _again(chip, cluster))
        return
    yield from ready_findings(chip, ready, cluster)


def failed_finding(chip: int, text: str, cluster: Cluster | None) -> Finding:
    """A chip that runs to say why it cannot work."""
    return wrong(f"chip {chip} has failed to start: {text}", _again(chip, cluster))


def _again(chip: int, cluster: Cluster | None) -> str:
    entry = cluster and cluster.chip(chip)
    return flash_again(chip, entry.board if entry else None)


def ready_findings(chip: int, ready: Ready, cluster: Cluster | None) -> Iterator[Finding]:
    """What a READY tells of a chip."""
    yield fine(
        f"chip {chip} runs firmware {ready.firmware}: {ready.heads} heads, {ready.units} units,"
        f" {ready.rows} rows, context {ready.context}, model {ready.model_hash.hex()},"
        f" {ready.heap_free // 1024} KB of heap free"
    )
    if ready.firmware != firmware_version():
        yield wrong(
            f"chip {chip} runs firmware {ready.firmware} and this is {firmware_version()}",
            _again(chip, cluster),
        )
    if cluster is None:
        return
    if chip >= cluster.chips:
        yield wrong(
            f"chip {chip} in a cluster of {cluster.chips} chips, 0 to {cluster.chips - 1}",
            flash_again(None),
        )
    if ready.model_hash != cluster.model_hash:
        yield wrong(
            f"chip {chip} holds model {ready.model_hash.hex()}, and federation.toml has"
            f" {cluster.model_hash.hex()} ({cluster.model})",
            _again(chip, cluster),
        )
    elif ready.context != cluster.context:
        yield wrong(
            f"chip {chip} was flashed with context {ready.context}, and federation.toml has"
            f" {cluster.context}",
            _again(chip, cluster),
        )
