"""Looks at every board and says what is wrong and what to do: `python -m host.doctor`.

A node that runs is asked first. Then each board is brought to its prompt, one at a time: there it
tells of its MicroPython and what was flashed onto it, and a gateway measures how well it hears the
others. What was interrupted is started again.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from host.cli.arguments import FAILED, TERMINATED, Parser, exit_code
from host.cluster import cluster_file, ports
from host.cluster.cluster_file import Cluster
from host.diagnosis.at_prompt import Identity, identity, identity_findings, live_findings
from host.diagnosis.findings import Finding, fine, unseen, wrong
from host.diagnosis.node import closed_finding, failed_finding, node_report, started
from host.diagnosis.prompt import NoPrompt, Prompt
from host.diagnosis.signal import signal_findings
from host.errors import ClusterError
from host.links.access import PortClosed
from host.wire.reports import decode_error
from protocol import message_types

_COLOURS = {"ok": "green", "wrong": "red", "not looked at": "yellow"}
_RESTART_PATIENCE = 10.0  # seconds


def ports_to_look_at(
    cluster: Cluster | None, list_ports: ports.ListPorts = ports.comports
) -> list[str]:
    """Where boards are, and where those must be that have to hang on this machine."""
    present = ports.candidates(list_ports)
    urls = []
    for chip in cluster.flashed if cluster else ():  # the gateway before what is reached by it
        url = ports.probable_port(chip.mac, chip.port, present)
        needed = cluster is not None and (cluster.link == "uart" or chip.id == 0)
        if url and (needed or os.path.exists(url)):
            urls.append(url)
    urls += [candidate.url for candidate in present]
    return list(dict.fromkeys(urls))


def file_findings(cluster: Cluster | None, path: Path = cluster_file.FILE) -> Iterator[Finding]:
    """What is to be said of federation.toml."""
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


def port_findings(url: str, cluster: Cluster | None) -> Iterator[Finding]:
    """What is found out about the board at a port."""
    report = node_report(url, cluster)
    yield from report.findings
    if not report.opened:
        return
    runs = report.chip is not None
    try:
        with Prompt(url) as prompt:
            board = yield from _prompt_findings(prompt, cluster, runs)
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
    prompt: Prompt, cluster: Cluster | None, runs: bool
) -> Generator[Finding, None, Identity]:
    if runs:
        try:
            yield from live_findings(prompt)
        except NoPrompt as error:
            yield unseen(f"how the radio is set now: {error}")
    prompt.soft_reset()
    board = identity(prompt)
    yield from identity_findings(board, cluster)
    if cluster and cluster.link == board.link == "espnow" and board.chip == 0:
        yield from signal_findings(prompt, cluster)
    return board


def _restart_finding(
    board: Identity, url: str, ran_before: bool, cluster: Cluster | None
) -> Finding:
    if not board.speaks_here:
        return unseen(
            "whether its node runs: that answers by radio or UART pins, not at this port"
        )
    try:
        answer = started(url, board.key, _RESTART_PATIENCE)
    except PortClosed as error:
        return closed_finding(error)
    if answer is None:
        return wrong(
            "its node does not start", "Look at python -m host.monitor, or flash it again"
        )
    if answer.kind == message_types.ERROR:
        if ran_before:
            return fine("the node was interrupted for this, and says again what is wrong")
        return failed_finding(answer.src, decode_error(answer.payload).text, cluster)
    if ran_before:
        return fine("the node was interrupted for this and runs again")
    return fine("the board was started anew, and its node runs")


def print_findings(console: Console, title: str, found: Iterable[Finding]) -> bool:
    """Prints each as soon as it is known; whether something is wrong."""
    console.print(escape(title), style="bold", highlight=False)
    bad = False
    for finding in found:
        bad = bad or finding.kind == "wrong"
        advice = f". {finding.advice}" if finding.advice else ""
        colour = _COLOURS[finding.kind]
        console.print(
            f"  [{colour}]{finding.kind}[/]: {escape(finding.text + advice)}",
            highlight=False,
            soft_wrap=True,
        )
    return bad


def run(urls: list[str], console: Console) -> int:
    """The exit code. urls: the ports to look at, none for all. Raises ClusterError."""
    cluster = cluster_file.read()
    bad = print_findings(console, str(cluster_file.FILE), file_findings(cluster))
    urls = urls or ports_to_look_at(cluster)
    if not urls:
        nothing = wrong("no board on any port", "Plug one in, with a cable for data")
        return FAILED * print_findings(console, "ports", [nothing])
    for url in urls:
        bad = print_findings(console, url, port_findings(url, cluster)) or bad
    return FAILED * bad


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    parser = Parser(
        prog="python -m host.doctor",
        description="Says what is wrong with boards and what to do; exit code 1 if something is.",
    )
    parser.add_argument(
        "ports", nargs="*", metavar="PORT", help="a port or pyserial URL (default: all boards)"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # not without starting nodes
    return exit_code(lambda: run(options.ports, Console()), (ClusterError,))


if __name__ == "__main__":
    sys.exit(main())
