"""A federation of boards: what `run --ports` uses in place of a simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from serial.tools.list_ports import comports

from host.build.configuration import REPL_MTU
from host.build.shard import shard_file
from host.cluster import cluster_file, ports
from host.cluster.cluster_fields import ClusterFile
from host.cluster.cluster_plan import check_flashed, line_baud, line_mtu, plan_cluster
from host.errors import ClusterError
from host.launch.session import Running, connected
from host.links.access import PortClosed, open_exclusively
from host.links.discovery import ListPorts, find_candidates, locate
from host.links.reconnecting_transport import ReconnectingTransport
from host.links.transport import Line, Port
from host.model.quantized import QuantizedModel
from host.parallel.parallelism import Link, Parallelism, check_reachable
from host.parallel.plan import DoesNotFit
from protocol.messages import HASH_SIZE

AUTO = "auto"
# Seconds in which a board starts, waits for its REPL's user and loads its share, or is plugged in
# again; and in which it may be silent later, for its loop may hang until the watchdog resets it.
_PATIENCE, _SILENCE = 10.0, 15.0
_CHIPS = 5  # on the air, where nothing says how many


def describe_cluster(
    urls: Sequence[str] | None,
    *,
    chips: int | None,
    kind: str | None,
    context: int | None,
    reduce: str | None,
    most: int,
) -> ClusterFile:
    """Returns the cluster as federation.toml has it; without that file, as the options do.

    urls: the ports, None to find them; chips, kind (of the link), context, reduce: None where they
    are not given; most: positions that the model allows. Raises ClusterError where file and
    options contradict each other, or both say too little.
    """
    cluster = cluster_file.read()
    if cluster is not None:
        _check_option("chips", chips, cluster.chips)
        _check_option("link", kind, cluster.link.kind)
        _check_option("context", context, cluster.context)
        _check_option("reduce", reduce, cluster.parallelism.reduce)
        return cluster
    if urls is None:
        raise ClusterError(
            "no federation.toml here, by which --ports auto finds the boards: flash them from"
            " this folder, or list their ports"
        )
    kind = kind or ("uart" if len(urls) > 1 else "espnow")
    link = Link(kind, mtu=REPL_MTU if kind == "espnow" else None)
    count = chips or (_CHIPS if link.has_radio else len(urls))
    parallelism = Parallelism(reduce=reduce or "host")
    check_reachable(link, parallelism, count)
    return ClusterFile("", b"", count, context or most, b"", link, parallelism)


def _check_option(name: str, value: int | str | None, flashed: int | str) -> None:
    if value not in (None, flashed):
        raise ClusterError(
            f"--{name} {value}: the boards were flashed with {name} {flashed}"
            f" ({cluster_file.FILE}): leave it out, or flash them again"
        )


def _check_model(model: QuantizedModel, cluster: ClusterFile) -> None:
    digest = model.sha256()[:HASH_SIZE]
    if cluster.model_hash not in (b"", digest):
        raise ClusterError(
            f"the boards were flashed with {cluster.model} ({cluster.model_hash.hex()}) and this"
            f" model is {digest.hex()}: give --model {cluster.model}, or flash the boards again"
        )


def listed_ports(text: str) -> list[str] | None:
    """The ports in an option's text, None for "auto"."""
    return None if text == AUTO else [url for url in text.split(",") if url]


@contextmanager
def attached(
    model: QuantizedModel,
    cluster: ClusterFile,
    urls: Sequence[str] | None,
    arrived: Callable[[int], None] = lambda chip: None,
    list_ports: ListPorts = comports,
) -> Iterator[Running]:
    """The federation of the boards at `urls` (None: wherever they are); on ESP-NOW, behind one.

    `arrived` is called with each chip that is ready. Raises ModelError, BoardError, ClusterError.
    """
    _check_model(model, cluster)
    try:
        plan = plan_cluster(model, cluster)
    except DoesNotFit as error:  # by the figures of the version that flashed them it did
        raise ClusterError(
            f"{error}. That is how the boards were flashed ({cluster_file.FILE}): flash them all"
            " again, so that they fit"
        ) from None
    wanted = [0] if cluster.link.has_radio else list(range(cluster.chips))
    baud = line_baud(cluster, wanted)
    if urls is None:
        check_flashed(cluster)
        lines = ports.find_lines(cluster, wanted, list_ports, baud)
    else:
        if len(urls) != len(wanted):
            which = "that of the gateway, chip 0" if cluster.link.has_radio else "one of each chip"
            raise ClusterError(
                f"{len(urls)} port{'' if len(urls) == 1 else 's'} for {cluster.chips} chips on"
                f" {cluster.link.kind}: give {which}"
            )
        twice = next((url for url in urls if urls.count(url) > 1), None)
        if twice is not None:
            raise ClusterError(f"{twice} is given twice: each chip has a port of its own")
        lines = ports.open_lines(urls, cluster, wanted, baud)
    reopened = _reopened(cluster, lines, baud, list_ports)
    if cluster.link.has_radio:
        lines = dict.fromkeys(range(cluster.chips), lines[0])
    with connected(
        model,
        plan,
        ReconnectingTransport(lines, line_mtu(cluster), reopened, _PATIENCE),
        shards={shard.chip: shard_file(model, plan, shard) for shard in plan.shards},
        key=cluster.key,
        start_timeout=_PATIENCE,
        timeout=_SILENCE,
        on_ready=arrived,
    ) as running:
        yield running


def _reopened(
    cluster: ClusterFile, lines: Mapping[int, Line], baud: int, list_ports: ListPorts
) -> Callable[[int], Port]:
    """What opens a chip's port again: where USB tells that its board is, else where it was."""
    urls: dict[int, str] = {chip: line.port.name for chip, line in lines.items()}

    def port(chip: int) -> Port:
        url: str | None = urls[chip]
        entry = cluster.chip(chip)
        if entry and cluster.link.line == "usb":
            present = find_candidates(list_ports)
            url = locate(entry.mac, urls[chip], present)
        if url is None:
            raise PortClosed(f"chip {chip} is on no port", "plug it in")
        opened: Port = open_exclusively(url, baud)
        return opened

    return port
