"""Shows what all boards print and report, in one view: `python -m host.monitor`.

Each line begins with the chip that it is from.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import NoReturn

from host.cli.arguments import TERMINATED, Parser, exit_code
from host.cluster import cluster_file
from host.diagnosis.listening import Monitor, Print, list_sources
from host.errors import ClusterError


def run(urls: list[str], show: Print) -> NoReturn:
    """Shows what boards print and report, until it is interrupted. Raises ClusterError."""
    cluster = cluster_file.read()
    listened = list_sources(urls, cluster)
    if not listened:
        raise ClusterError("no board on any port: plug one in, or give its port")
    monitor = Monitor(listened, cluster.key if cluster else b"", show)
    try:
        while True:
            monitor.turn()
    finally:
        monitor.close()


def _print(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = Parser(
        prog="python -m host.monitor",
        description="Shows what all boards print and report.",
        examples=("", "/dev/ttyACM0 /dev/ttyACM1"),
    )
    parser.add_argument(
        "ports", nargs="*", metavar="PORT", help="a port or pyserial URL (default: all boards)"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    return exit_code(lambda: run(options.ports, _print), (ClusterError,))


if __name__ == "__main__":
    sys.exit(main())
