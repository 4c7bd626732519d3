"""Finds out which chip of a cluster is at which serial port.

federation.toml has the MAC and the last port of each chip, which says where to look first; the
chip's answer decides. Where lines end at the pins of boards, they come from serial adapters that
cannot be identified: all ports are probed but the boards' own.
"""

from __future__ import annotations

from collections.abc import Sequence

from serial.tools.list_ports import comports

from host.cluster.cluster_fields import ClusterFile, FlashedChip
from host.errors import ClusterError
from host.links.access import REPL_BAUD
from host.links.discovery import Candidate, ListPorts, find_candidates, locate
from host.links.port_search import PortSearch, Probe
from host.links.transport import Line
from protocol.frame import BROADCAST

# Seconds: a chip where it was last seen answers at once; one that was reset by opening its port
# must first boot and load its shard.
EXPECTED_TIMEOUT, TIMEOUT = 1.5, 8.0


def find_lines(
    cluster: ClusterFile,
    wanted: Sequence[int],
    list_ports: ListPorts = comports,
    baud: int = REPL_BAUD,
) -> dict[int, Line]:
    """Returns the lines of the `wanted` chips, wherever they are plugged in. Raises
    ClusterError."""
    present = find_candidates(list_ports)
    with _open_search(cluster, wanted, baud) as search:
        if cluster.link.line == "pins":
            own = {chip.port for chip in cluster.flashed}
            for candidate in present:
                if candidate.mac is None and candidate.url not in own:
                    search.add(candidate.url)
            search.find(set(wanted), TIMEOUT)
        else:
            _probe_boards(search, cluster, wanted, present)
        return _take(search, cluster, wanted)


def open_lines(
    urls: Sequence[str], cluster: ClusterFile, wanted: Sequence[int], baud: int = REPL_BAUD
) -> dict[int, Line]:
    """Returns the lines of the `wanted` chips at these ports, whatever their order.

    Raises PortClosed for one that does not open, and ClusterError.
    """
    with _open_search(cluster, wanted, baud) as search:
        for url in urls:
            search.add(url)
        for error in search.closed.values():
            raise error
        search.find(set(wanted), TIMEOUT)
        return _take(search, cluster, wanted)


def find_boards(cluster: ClusterFile, list_ports: ListPorts = comports) -> dict[FlashedChip, str]:
    """Returns the port of each board of a cluster that answers, as whichever chip, at its last
    port or where USB says that it is. Raises ClusterError."""
    present = find_candidates(list_ports)
    urls = {chip: locate(chip.mac, chip.port, present) for chip in cluster.flashed}
    with _open_search(cluster, range(cluster.chips), REPL_BAUD) as search:
        for url in filter(None, urls.values()):
            search.add(url)
        search.find(set(range(cluster.chips)), TIMEOUT)
        answered = set(search.chips.values())
    return {chip: url for chip, url in urls.items() if url in answered and url is not None}


def _probe_boards(
    search: PortSearch, cluster: ClusterFile, wanted: Sequence[int], present: Sequence[Candidate]
) -> None:
    """Probes the ports where the `wanted` chips must be, then those where they may be."""
    for chip in wanted:
        entry = cluster.chip(chip)
        port = entry and locate(entry.mac, entry.port, present)
        if port:
            search.add(port)
    missing = search.find(set(wanted), EXPECTED_TIMEOUT)
    others = {chip.port for chip in cluster.flashed if chip.id not in wanted}
    # Ports where other chips were come last: a probe may interrupt these.
    for group in (False, True):
        if missing:
            for candidate in present:
                is_known = candidate.mac is not None and cluster.chip_of(candidate.mac)
                if not is_known and (candidate.url in others) == group:
                    search.add(candidate.url)
            missing = search.find(set(wanted), TIMEOUT)


def _open_search(cluster: ClusterFile, wanted: Sequence[int], baud: int) -> PortSearch:
    probe = Probe(cluster.key, wanted[0] if len(wanted) == 1 else BROADCAST)
    return PortSearch(probe, cluster.link.line == "usb", baud)  # no prompt at the pins


def _take(search: PortSearch, cluster: ClusterFile, wanted: Sequence[int]) -> dict[int, Line]:
    missing = set(wanted) - search.chips.keys()
    if missing:
        raise _unreachable(min(missing), cluster, search)
    return search.take(wanted)


def _unreachable(chip: int, cluster: ClusterFile, search: PortSearch) -> ClusterError:
    """Returns the error for a chip that was not found, with what is known about why."""
    for error in search.closed.values():
        return error
    where = f" at {', '.join(search.silent)}" if search.silent else ""
    strangers = sorted(set(search.chips) - set(range(cluster.chips)))
    if strangers:
        where = f", but chip {strangers[0]} at {search.chips[strangers[0]]}"
    key = "" if cluster.key else " (one with a key answers only where its federation.toml is)"
    return ClusterError(
        f"chip {chip} does not answer{where}{key}: python -m host.doctor looks at why"
    )
