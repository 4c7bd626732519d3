"""Offers a cluster to other programs: `python -m host.serve --chips 5`.

OpenAI's HTTP API at /v1, a page at /, metrics for Prometheus at /metrics, the server's state at
/health; docs/serving.md has recipes. It ends at Ctrl-C or SIGTERM, after the answers that are
under way.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import socket
import sys

from host.cli.arguments import exit_code
from host.cli.prompt_loop import print_message
from host.cli.serve_options import find_models, parse_options
from host.errors import FederationError
from host.launch import OpenCluster
from host.serving.app import AppSettings, make_app
from host.serving.broker import Broker, parse_name
from host.serving.front_ends import FrontEndSettings, open_front_ends
from host.serving.job import Job
from host.serving.live import LiveView
from host.serving.metrics import Metrics
from host.serving.observer import Observer, Observers
from host.serving.server import WebServer, bind, verify_binding
from host.serving.service import ServedModel, Service
from host.serving.wyoming_service import parse_address, parse_areas


class _Report(Observer):
    """Says on standard error what happens to clusters, and where it is wanted to requests."""

    def __init__(self, is_verbose: bool) -> None:
        self._is_verbose = is_verbose
        self._errors: dict[str, str] = {}  # of clusters that are not open

    def cluster_opened(self, name: str, cluster: OpenCluster, note: str) -> None:
        self._errors.pop(name, None)
        count, where = cluster.executor.plan.chips, note and f", {note}"
        print_message(f"{name}: {count} chip{'s' * (count > 1)} ready{where}, {cluster.choice}")

    def cluster_failed(self, name: str, error: str) -> None:
        if self._errors.get(name) != error:  # once, and not at each attempt
            print_message(f"{name}: {error}: opening the cluster again")
        self._errors[name] = error

    def job_started(self, name: str, job: Job) -> None:
        if self._is_verbose:
            print_message(f"{name}: {job.task.prompt!r:.100}")


def run(options: argparse.Namespace) -> int:
    """Serves until a signal; the exit code. Raises what main prints as one line."""
    verify_binding(options.host, options.api_key, options.insecure)
    front_ends = _parse_front_ends(options)
    listener = bind(options.host, options.port)
    try:
        metrics, live = Metrics(), LiveView()
        observer = Observers(metrics, live, _Report(options.verbose))
        models = [
            ServedModel(name, source, clusters, observer, options.queue)
            for name, (source, clusters) in find_models(options).items()
        ]
        service = Service(models)
        gc.freeze()  # the models and all modules stay, so collections need not go over them
        settings = AppSettings(
            options.api_key, options.cors, options.insecure, options.deadline
        )
        server = WebServer(make_app(service, metrics, live, settings), listener)
        names = ", ".join(service.models)
        print_message(f"serving {names} on {server.address} (a page; API at /v1)")
        return asyncio.run(_serve(service, metrics, server, front_ends))
    finally:
        listener.close()


def _parse_front_ends(options: argparse.Namespace) -> FrontEndSettings:
    """Raises ArgumentError for what cannot be, before anything is started."""
    return FrontEndSettings(
        options.deadline,
        Broker.parse(options.mqtt, options.mqtt_ca) if options.mqtt else None,
        parse_name(options.mqtt_id or f"{socket.gethostname()}-{options.port}"),
        parse_address(options.wyoming, options.insecure) if options.wyoming else None,
        options.zeroconf,
        parse_areas(options.area),
        options.unlock,
    )


async def _serve(
    service: Service, metrics: Metrics, server: WebServer, settings: FrontEndSettings
) -> int:
    def stop() -> None:
        service.is_stopping = True
        server.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    async with open_front_ends(service, metrics, settings) as lines:
        for line in lines:
            print_message(line)
        service.start()
        try:
            await server.run()
        finally:
            await asyncio.to_thread(service.stop)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    options = parse_options(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.ERROR, format="%(message)s"
    )
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    return exit_code(lambda: run(options), (FederationError,))


if __name__ == "__main__":
    sys.exit(main())
