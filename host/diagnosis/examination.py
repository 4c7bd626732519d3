"""Examines federation.toml and each board: by its node, and then at its prompt.

If a node runs, it is asked first. Then the board is brought to its prompt, where it reports its
MicroPython and what was flashed onto it; a gateway also measures how well it receives the other
chips. An interrupted node is started again.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

from serial.tools.list_ports import comports

from host.cluster.cluster_fields import ClusterFile
from host.cluster.cluster_file import FILE
from host.diagnosis.answers import DamagedAnswer
from host.diagnosis.at_prompt import Identity, check_identity, check_radio, read_identity
from host.diagnosis.findings import Finding, fine, unseen, wrong
from host.diagnosis.node import await_node, closed_finding, examine_node, failed_start
from host.diagnosis.prompt import NoPrompt, Prompt
from host.diagnosis.signal import measure_signal
from host.links.access import PortClosed
from host.links.discovery import ListPorts, find_candidates, locate
from host.wire.reports import decode_error
from protocol import message_types

_RESTART_TIMEOUT = 10.0  # seconds


def list_board_ports(
    cluster: ClusterFile | None, list_ports: ListPorts = comports
) -> list[str]:
    """Returns the ports at which there are boards, and the ports of those boards of the cluster
    that need a line to this machine."""
    present = find_candidates(list_ports)
    urls = []
    for chip in cluster.flashed if cluster else ():  # the gateway before the chips behind it
        url = locate(chip.mac, chip.port, present)
        needed = cluster is not None and cluster.has_line(chip.id)
        if url and (needed or os.path.exists(url)):
            urls.append(url)
    urls += [candidate.url for candidate in present]
    return list(dict.fromkeys(urls))


def check_file(cluster: ClusterFile | None, path: Path = FILE) -> Iterator[Finding]:
    """Yields findings on federation.toml."""
    if cluster is None:
        yield unseen(f"what was flashed onto the boards: no {path} in this folder")
        return
    if path.stat().st_mode & 0o077:
        yield wrong(f"others can read {path} and the key in it", f"chmod 600 {path}")
    for chip in range(cluster.chips):
        if cluster.chip(chip) is None:
            yield wrong(
                f"chip {chip} of {cluster.chips} was never flashed",
                f"make flash BOARD=... CHIP_ID={chip}",
            )


def examine_port(url: str, cluster: ClusterFile | None) -> Iterator[Finding]:
    """Yields findings on the board at a port."""
    report = examine_node(url, cluster)
    yield from report.findings
    if not report.opened:
        return
    runs = report.chip is not None
    try:
        with Prompt(url) as prompt:
            board = yield from _prompt_findings(prompt, cluster, runs)
    except DamagedAnswer as error:
        yield wrong(str(error), "Use another cable or USB port, without a hub, and repeat this")
        return
    except NoPrompt as error:
        yield _no_prompt(error, runs)
        return
    if board.starts:
        yield _restart_finding(board, url, runs, cluster)


def _no_prompt(error: NoPrompt, runs: bool) -> Finding:
    if runs:
        return unseen(f"MicroPython, power save and signal: the node runs on ({error})")
    return wrong(
        f"neither a node nor MicroPython's prompt answers ({error})",
        "Press the board's reset button and repeat this within two seconds, or flash it",
    )


def _prompt_findings(
    prompt: Prompt, cluster: ClusterFile | None, runs: bool
) -> Generator[Finding, None, Identity]:
    if runs:
        try:
            yield from check_radio(prompt)
        except NoPrompt as error:
            yield unseen(f"how the radio is set now: {error}")
    prompt.soft_reset()
    board = read_identity(prompt)
    yield from check_identity(board, cluster)
    if cluster and cluster.link.kind == board.link == "espnow" and board.chip == 0:
        yield from measure_signal(prompt, cluster)
    return board


def _restart_finding(
    board: Identity, url: str, ran_before: bool, cluster: ClusterFile | None
) -> Finding:
    if not board.speaks_here:
        return unseen(
            "whether its node runs: it answers by radio or UART pins, not at this port"
        )
    try:
        answer = await_node(url, board.key, _RESTART_TIMEOUT)
    except PortClosed as error:
        return closed_finding(error)
    if answer is None:
        return wrong(
            "its node does not start", "Look at python -m host.monitor, or flash it again"
        )
    if answer.kind == message_types.ERROR:
        if ran_before:
            return fine("the node was interrupted for this, and reports again what is wrong")
        return failed_start(answer.src, decode_error(answer.payload).text, cluster)
    if ran_before:
        return fine("the node was interrupted for this and runs again")
    return fine("the board was started again, and its node runs")
