"""Examines what a board's node reports of itself, if one runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from host.build.configuration import REPL_MTU
from host.build.firmware_version import firmware_version
from host.cluster.cluster_fields import ClusterFile
from host.cluster.coordinator import Coordinator
from host.cluster.dispatcher import Dispatcher
from host.diagnosis.findings import Finding, fine, flash_again, wrong
from host.errors import ClusterError
from host.links.access import PortClosed
from host.links.port_search import PortSearch, Probe
from host.links.transport import Line, Transport
from host.wire.reports import Ready, decode_error, describe_mapping
from host.wire.session import HostAuthenticator
from protocol import message_types
from protocol.message import FederationMessage

# Seconds to wait for answers. A node that runs answers at once. A board that was reset when its
# port was opened is at its prompt before it starts its node, and is found there. Frames over the
# radio may be lost.
_TIMEOUT, _WITHOUT_KEY, _OVER_RADIO = 3.0, 1.0, 2.0


@dataclass
class NodeReport:
    """The findings on a port. chip: the one that answered, None if none did; opened: whether the
    port opened."""

    chip: int | None = None
    opened: bool = True
    findings: list[Finding] = field(default_factory=list)


def examine_node(url: str, cluster: ClusterFile | None) -> NodeReport:
    """Returns a report on the chip that answers at a port, and on the chips behind it."""
    key = cluster.key if cluster else b""
    with PortSearch(Probe(key), restarts=False) as search:
        search.add(url)
        answer = search.find_any(_TIMEOUT)
        if url in search.closed:
            return NodeReport(None, False, [closed_finding(search.closed[url])])
        if answer:
            line = search.take([answer.src])[answer.src]
            return NodeReport(answer.src, True, list(_findings(answer, line, cluster)))
    return _without_key(url) if key else NodeReport()


def await_node(url: str, key: bytes, timeout: float) -> FederationMessage | None:
    """Returns the answer, READY or ERROR, of the node of a board that was just reset, None if
    there is none within `timeout` seconds.

    Raises PortClosed if the port does not open, or is lost.
    """
    with PortSearch(Probe(key)) as search:
        search.add(url, starting=True)
        answer = search.find_any(timeout)
        if url in search.closed:
            raise search.closed[url]
        return answer


def closed_finding(error: PortClosed) -> Finding:
    """Returns the finding on a port that does not open."""
    return wrong(error.wrong, error.advice[:1].upper() + error.advice[1:])


def _without_key(url: str) -> NodeReport:
    """Examines a chip that has no key in a cluster that has one."""
    with PortSearch(Probe(), restarts=False) as search:
        search.add(url)
        answer = search.find_any(_WITHOUT_KEY)
    if answer is None:
        return NodeReport()
    text = f"chip {answer.src} runs without a key, and federation.toml has one"
    return NodeReport(answer.src, True, [wrong(text, flash_again(answer.src))])


def _findings(
    answer: FederationMessage, line: Line, cluster: ClusterFile | None
) -> Iterator[Finding]:
    chip = answer.src
    others = []
    if cluster and cluster.link.has_radio and chip == 0:
        others = list(range(1, cluster.chips))
    signer = HostAuthenticator(cluster.key) if cluster and cluster.key else None
    transport = Transport(dict.fromkeys([chip, *others], line), REPL_MTU)
    coordinator = Coordinator(Dispatcher(transport, [chip, *others], signer))
    try:
        if answer.kind == message_types.ERROR:
            yield failed_start(chip, decode_error(answer.payload).text, cluster)
        else:
            yield from _shake_hands(coordinator, chip, cluster, _TIMEOUT)
        for other in others:
            yield from _shake_hands(coordinator, other, cluster, _OVER_RADIO)
    finally:
        transport.close()


def _shake_hands(
    coordinator: Coordinator, chip: int, cluster: ClusterFile | None, timeout: float
) -> Iterator[Finding]:
    try:
        ready = coordinator.handshake([chip], timeout, where="in its handshake")[chip]
    except ClusterError as error:
        if chip in coordinator.last_errors:
            yield failed_start(chip, coordinator.last_errors[chip], cluster)
        elif chip:
            yield wrong(
                f"no answer of chip {chip} over the radio",
                "Is it flashed, powered and within reach, on the same channel?",
            )
        else:
            yield wrong(str(error), _again(chip, cluster))
        return
    yield from check_ready_report(chip, ready, cluster)


def failed_start(chip: int, text: str, cluster: ClusterFile | None) -> Finding:
    """Returns the finding on a chip that runs only to report why it failed to start."""
    return wrong(f"chip {chip} has failed to start: {text}", _again(chip, cluster))


def _again(chip: int, cluster: ClusterFile | None) -> str:
    entry = cluster and cluster.chip(chip)
    return flash_again(chip, entry.board if entry else None)


def check_ready_report(chip: int, ready: Ready, cluster: ClusterFile | None) -> Iterator[Finding]:
    """Yields findings on a chip by its READY."""
    yield fine(
        f"chip {chip} runs firmware {ready.firmware}: {ready.heads} heads, {ready.units} units,"
        f" {ready.rows} rows, context {ready.context}, model {ready.model_hash.hex()},"
        f" {ready.heap_free // 1024} KB of heap free, kernels: {ready.kernels}"
        f"{describe_mapping(ready)}"
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
