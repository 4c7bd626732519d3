"""Looks at every board and says what is wrong and what to do: `python -m host.doctor`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable

from host.cli.arguments import FAILED, TERMINATED, Parser, exit_code
from host.cli.console import Console, escape
from host.cluster import cluster_file
from host.diagnosis.examination import check_file, examine_port, list_board_ports
from host.diagnosis.findings import Finding, wrong
from host.diagnosis.model_check import check_model
from host.errors import ClusterError

_COLOURS = {"ok": "green", "wrong": "red", "not looked at": "yellow"}


def print_findings(console: Console, title: str, found: Iterable[Finding]) -> bool:
    """Prints each finding as soon as it is known; returns whether something is wrong."""
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
    """Examines boards and returns the exit code. urls: the ports to look at, none for all. Raises
    ClusterError."""
    cluster = cluster_file.read()
    bad = print_findings(console, str(cluster_file.FILE), check_file(cluster))
    if cluster is not None:
        bad = print_findings(console, "model", check_model(cluster)) or bad
    urls = urls or list_board_ports(cluster)
    if not urls:
        nothing = wrong("no board on any port", "Plug one in, with a cable for data")
        return FAILED * print_findings(console, "ports", [nothing])
    for url in urls:
        bad = print_findings(console, url, examine_port(url, cluster)) or bad
    return FAILED * bad


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = Parser(
        prog="python -m host.doctor",
        description="Says what is wrong with boards and what to do; exit code 1 if something is.",
        examples=("", "/dev/ttyACM0", "rfc2217://there:4000"),
    )
    parser.add_argument(
        "ports", nargs="*", metavar="PORT", help="a port or pyserial URL (default: all boards)"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # not without starting nodes
    return exit_code(lambda: run(options.ports, Console()), (ClusterError,))


if __name__ == "__main__":
    sys.exit(main())
