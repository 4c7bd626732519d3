"""A federation of boards: what `run --ports` uses in place of a simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from host.build.configuration import CHANNEL, REPL_BAUD, REPL_MTU
from host.build.shard import shard_file
from host.cluster import cluster_file, ports
from host.cluster.cluster_file import Cluster, check_reach, make_parallelism
from host.errors import ClusterError
from host.hardware import board as boards
from host.launch.session import Running, connected
from host.links.access import PortClosed, exclusive_port
from host.links.reconnecting_transport import LastingTransport
from host.links.transport import Line, Port
from host.model.quantized import QuantizedModel
from host.parallel.boards import BoardSet, make_link, plan_alike
from host.parallel.plan import DoesNotFit, Plan
from protocol.frame import MAX_FRAME
from protocol.messages import HASH_SIZE

AUTO = "auto"
# Seconds in which a board starts, waits for its REPL's user and loads its share, or is plugged in
# again; and in which it may be silent later, for its loop may hang until the watchdog resets it.
_PATIENCE, _SILENCE = 10.0, 15.0
_CHIPS = 5  # on the air, where nothing says how many


def described(
    urls: Sequence[str] | None,
    *,
    chips: int | None,
    link: str | None,
    context: int | None,
    combine: str | None,
    most: int,
) -> Cluster:
    """The cluster as federation.toml has it; without that file, as the options do.

    urls: the ports, None to find them; chips, link, context, combine: None where they are not
    given; most: positions that the model allows. Raises ClusterError where file and options
    contradict each other, or both say too little.
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
        cluster = Cluster("", b"", count, link, CHANNEL, context or most, b"")
        cluster = replace(cluster, combine=combine or cluster.combine)
        check_reach(cluster.link, cluster.line, cluster.combine, cluster.chips)
        return cluster
    options = {"chips": chips, "link": link, "context": context, "combine": combine}
    _check_options(cluster, options)
    return cluster


def _check_model(model: QuantizedModel, cluster: Cluster) -> None:
    digest = model.sha256()[:HASH_SIZE]
    if cluster.model_hash not in (b"", digest):
        raise ClusterError(
            f"the boards were flashed with {cluster.model} ({cluster.model_hash.hex()}) and this"
            f" model is {digest.hex()}: give --model {cluster.model}, or flash the boards again"
        )


def _check_options(cluster: Cluster, options: Mapping[str, int | str | None]) -> None:
    for name, value in options.items():
        flashed = getattr(cluster, name)
        if value not in (None, flashed):
            raise ClusterError(
                f"--{name} {value}: the boards were flashed with {name} {flashed}"
                f" ({cluster_file.FILE}): leave it out, or flash them again"
            )


def flashed_plan(model: QuantizedModel, cluster: Cluster) -> Plan:
    """The division of the model that the boards of a cluster hold.

    Raises ModelError, BoardError.
    """
    parallelism = make_parallelism(
        cluster.combine, cluster.stages, cluster.chips, model.config.layers
    )
    signed = bool(cluster.key)
    if cluster.boards:
        named = tuple(boards.load(name) for name in cluster.boards)
        placed = BoardSet(named, cluster.link, cluster.context, signed, cluster.line)
        return placed.plan(model, parallelism)
    known = [boards.load(name) for name in {chip.board for chip in cluster.flashed}]
    link = make_link(
        cluster.link, known, line=cluster.line, signed=signed, mtu=_radio_mtu(cluster)
    )
    return plan_alike(model, cluster.chips, cluster.context, parallelism, link, known)


def _radio_mtu(cluster: Cluster) -> int | None:
    if cluster.link != "espnow":
        return None
    kinds = [boards.load(name) for name in {chip.board for chip in cluster.flashed}]
    return min((kind.radio.mtu for kind in kinds), default=REPL_MTU)


def _line_mtu(cluster: Cluster) -> int:
    """The longest frame in bytes on the host's lines."""
    longest = REPL_MTU if cluster.line == "usb" else MAX_FRAME
    return min(longest, _radio_mtu(cluster) or longest)


def _baud(cluster: Cluster, wanted: Sequence[int]) -> int:
    """Bits per second on the lines of the `wanted` chips. Raises ClusterError, BoardError."""
    if cluster.line == "usb":
        return REPL_BAUD
    _check_flashed(cluster)
    kinds = [boards.load(chip.board) for chip in cluster.flashed if chip.id in wanted]
    bauds = {kind.uart.baud for kind in kinds if kind.uart}
    if len(bauds) != 1:
        raise ClusterError(
            f"the boards of {cluster_file.FILE} have no baud in common: give their files in"
            " boards/ the same, and flash the boards again"
        )
    return bauds.pop()


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
    try:
        plan = flashed_plan(model, cluster)
    except DoesNotFit as error:  # by the figures of the version that flashed them it did
        raise ClusterError(
            f"{error}. That is how the boards were flashed ({cluster_file.FILE}): flash them all"
            " again, so that they fit"
        ) from None
    wanted = list(range(cluster.chips)) if cluster.link == "uart" else [0]
    baud = _baud(cluster, wanted)
    if urls is None:
        _check_flashed(cluster)
        lines = ports.found_lines(cluster, wanted, list_ports, baud)
    else:
        if len(urls) != len(wanted):
            which = "one of each chip" if cluster.link == "uart" else "that of the gateway, chip 0"
            raise ClusterError(
                f"{len(urls)} port{'' if len(urls) == 1 else 's'} for {cluster.chips} chips on"
                f" {cluster.link}: give {which}"
            )
        twice = next((url for url in urls if urls.count(url) > 1), None)
        if twice is not None:
            raise ClusterError(f"{twice} is given twice: each chip has a port of its own")
        lines = ports.lines_at(urls, cluster, wanted, baud)
    reopened = _reopened(cluster, lines, baud, list_ports)
    if cluster.link == "espnow":
        lines = dict.fromkeys(range(cluster.chips), lines[0])
    with connected(
        model,
        plan,
        LastingTransport(lines, _line_mtu(cluster), reopened, _PATIENCE),
        shards={shard.chip: shard_file(model, plan, shard) for shard in plan.shards},
        key=cluster.key,
        start_timeout=_PATIENCE,
        timeout=_SILENCE,
        on_ready=arrived,
    ) as running:
        yield running


def _reopened(
    cluster: Cluster, lines: Mapping[int, Line], baud: int, list_ports: ports.ListPorts
) -> Callable[[int], Port]:
    """What opens a chip's port again: where USB tells that its board is, else where it was."""
    urls: dict[int, str] = {chip: line.port.name for chip, line in lines.items()}

    def port(chip: int) -> Port:
        url: str | None = urls[chip]
        entry = cluster.chip(chip)
        if entry and cluster.line == "usb":
            present = ports.candidates(list_ports)
            url = ports.probable_port(entry.mac, urls[chip], present)
        if url is None:
            raise PortClosed(f"chip {chip} is on no port", "plug it in")
        opened: Port = exclusive_port(url, baud)
        return opened

    return port


def _check_flashed(cluster: Cluster) -> None:
    missing = [chip for chip in range(cluster.chips) if cluster.chip(chip) is None]
    if missing:
        raise ClusterError(
            f"chip {missing[0]} of {cluster.chips} has not been flashed: make flash"
            f" CHIP_ID={missing[0]} BOARD=..."
        )
