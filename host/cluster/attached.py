"""A federation of boards: what `run --ports` uses in place of a simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from host import boards
from host.cluster import cluster_file, ports
from host.cluster.cluster_file import Cluster
from host.cluster.errors import ClusterError
from host.cluster.running import Running, connected
from host.cluster.transport import Transport
from host.deploy.configuration import CHANNEL, REPL_MTU
from host.deploy.shard import shard_file
from host.model.quantized import QuantizedModel
from host.parallel.memory import board_heap
from host.parallel.plan import Plan, tensor_parallel
from protocol.reports import HASH_SIZE

AUTO = "auto"
# Seconds in which a board starts, waits for its REPL's user and loads its share; so long may it
# also be silent later, for it may have been reset.
_PATIENCE = 10.0
_CHIPS = 5  # on the air, where nothing says how many


def described(
    urls: Sequence[str] | None,
    *,
    chips: int | None,
    link: str | None,
    context: int | None,
    most: int,
) -> Cluster:
    """The cluster as federation.toml has it; without that file, as the options do.

    urls: the ports, None to find them; chips, link, context: None where they are not given; most:
    positions that the model allows. Raises ClusterError where file and options contradict each
    other, or both say too little.
    """
    cluster = cluster_file.read()
    if cluster is None:
        if urls is None:
            raise ClusterError(
                "no federation.toml here, by which --ports auto finds the boards: flash them from"
                " this folder, or list their ports"
            )
        link = link or ("uart" if len(urls) > 1 else "espnow")
        count = chips or (_CHIPS if link == "espnow" else len(urls))
        return Cluster("", b"", count, link, CHANNEL, context or most, b"")
    _check_options(cluster, {"chips": chips, "link": link, "context": context})
    return cluster


def _check_model(model: QuantizedModel, cluster: Cluster) -> None:
    digest = model.sha256()[:HASH_SIZE]
    if cluster.model_hash not in (b"", digest):
        raise ClusterError(
            f"the boards were flashed with {cluster.model} ({cluster.model_hash.hex()}) and this"
            f" model is {digest.hex()}: give --model {cluster.model}, or flash the boards again"
        )


def _check_options(cluster: Cluster, options: dict[str, int | str | None]) -> None:
    for name, value in options.items():
        flashed = getattr(cluster, name)
        if value not in (None, flashed):
            raise ClusterError(
                f"--{name} {value}: the boards were flashed with {name} {flashed}"
                f" ({cluster_file.FILE}): leave it out, or flash them again"
            )


def flashed_plan(model: QuantizedModel, cluster: Cluster) -> Plan:
    """The division of the model that the boards of a cluster hold.

    The heap that bounds it is the smallest. Raises ModelError, BoardError.
    """
    kinds = [boards.load(name) for name in {chip.board for chip in cluster.flashed}]
    return tensor_parallel(
        model,
        cluster.chips,
        cluster.context,
        heap=min((board_heap(kind.heap_kb) for kind in kinds), default=None),
        mtu=_radio_mtu(cluster),
        signed=bool(cluster.key),
    )


def _radio_mtu(cluster: Cluster) -> int | None:
    if cluster.link != "espnow":
        return None
    kinds = [boards.load(name) for name in {chip.board for chip in cluster.flashed}]
    return min((kind.espnow.mtu for kind in kinds), default=REPL_MTU)


def listed_ports(text: str) -> list[str] | None:
    """The ports in an option's text, None for "auto"."""
    return None if text == AUTO else [url for url in text.split(",") if url]


@contextmanager
def attached(
    model: QuantizedModel,
    cluster: Cluster,
    urls: Sequence[str] | None,
    arrived: Callable[[int], None] = lambda chip: None,
    list_ports: ports.ListPorts = ports.comports,
) -> Iterator[Running]:
    """The federation of the boards at `urls` (None: wherever they are); on ESP-NOW, behind one.

    `arrived` is called with each chip that is ready. Raises ModelError, BoardError, ClusterError.
    """
    _check_model(model, cluster)
    plan = flashed_plan(model, cluster)
    wanted = list(range(cluster.chips)) if cluster.link == "uart" else [0]
    if urls is None:
        _check_flashed(cluster)
        lines = ports.found_lines(cluster, wanted, list_ports)
    else:
        if len(urls) != len(wanted):
            which = "one of each chip" if cluster.link == "uart" else "that of the gateway, chip 0"
            raise ClusterError(
                f"{len(urls)} port{'' if len(urls) == 1 else 's'} for {cluster.chips} chips on"
                f" {cluster.link}: give {which}"
            )
        lines = ports.lines_at(urls, cluster, wanted)
    if cluster.link == "espnow":
        lines = dict.fromkeys(range(cluster.chips), lines[0])
    with connected(
        model,
        plan,
        Transport(lines, min(REPL_MTU, _radio_mtu(cluster) or REPL_MTU)),
        shards={share.chip: shard_file(model, plan, share) for share in plan.shares},
        key=cluster.key,
        start_patience=_PATIENCE,
        patience=_PATIENCE,
        arrived=arrived,
    ) as running:
        yield running


def _check_flashed(cluster: Cluster) -> None:
    missing = [chip for chip in range(cluster.chips) if cluster.chip(chip) is None]
    if missing:
        raise ClusterError(
            f"chip {missing[0]} of {cluster.chips} has not been flashed: make flash"
            f" CHIP_ID={missing[0]} BOARD=..."
        )
