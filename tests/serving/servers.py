"""Servers in this process, for tests: the real application on a port, in a thread."""

import asyncio
import threading
import time
from contextlib import contextmanager

import httpx

from host.launch import SimulatedChips
from host.serving.app import AppSettings, make_app
from host.serving.engine import LOADING
from host.serving.live import LiveView
from host.serving.metrics import Metrics
from host.serving.observer import Observers
from host.serving.server import WebServer, bind
from host.serving.service import ServedModel, Service

# Asks servers of this machine: a client costs 50 ms to make, for the certificates that it loads.
HTTP = httpx.Client(verify=False, timeout=60)


def wait_until(is_true, timeout=60):
    """Waits for a condition that another thread brings about."""
    end = time.monotonic() + timeout
    while not is_true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.002)


def make_service(source, clusters, *, name="tiny", most_waiting=64, pause=None, observers=()):
    """A service of one model on these clusters, and its metrics and live view."""
    watching = Metrics(), LiveView()
    seen = Observers(*watching, *observers)
    model = ServedModel(name, source, clusters, seen, most_waiting, pause)
    return Service([model]), watching


@contextmanager
def serving(service, watching, settings=AppSettings(), *, is_awaited=True):  # noqa: B008
    """Runs a service on a port of loopback; gives its address."""
    app = make_app(service, *watching, settings)
    server = WebServer(app, bind("127.0.0.1", 0))
    service.start()
    thread = threading.Thread(target=lambda: asyncio.run(server.run()))
    thread.start()
    try:
        if is_awaited:
            wait_until(lambda: service.default.state != LOADING)
        yield server.address
    finally:
        service.is_stopping = True
        server.stop()
        service.stop()
        thread.join()


def simulated(chips=1, **more):
    """The chips of one simulated cluster, and none to use in their place."""
    return [SimulatedChips.alike(chips, "uart", **more)]
