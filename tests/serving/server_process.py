"""A server as a process of its own, as a user starts it, and what the machine says of it."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from tests.serving.servers import HTTP, wait_until
from tests.simulation.launch import REPOSITORY


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Watched:
    """A process in which a server is: its port, and what the machine says of it."""

    def __init__(self, pid, port):
        self.pid, self.port, self.address = pid, port, f"http://127.0.0.1:{port}"
        self._folder = Path("/proc") / str(pid)

    @property
    def memory(self):
        """Bytes of RAM that it holds."""
        status = (self._folder / "status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) << 10

    @property
    def files(self):
        """How many files and sockets it has open."""
        return len(list((self._folder / "fd").iterdir()))

    @property
    def threads(self):
        """How many threads it has."""
        return len(list((self._folder / "task").iterdir()))


class ServerProcess(Watched):
    """A context manager: `python -m host.serve` with these words; address: where it is, once it is
    ready."""

    def __init__(self, *words):
        port = free_port()
        command = [sys.executable, "-m", "host.serve", "--port", str(port), *words]
        self.process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE)
        super().__init__(self.process.pid, port)

    def __enter__(self):
        try:
            wait_until(self._is_ready, timeout=300)
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.printed = self.process.communicate(timeout=60)[1].decode()

    def _is_ready(self):
        assert self.process.poll() is None, self.process.stderr.read()
        try:
            return HTTP.get(f"{self.address}/health").status_code == 200
        except httpx.TransportError:
            return False

    @property
    def chips(self):
        """The process ids of its simulated chips, by number."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                is_ours = f"\nPPid:\t{self.pid}\n" in (folder / "status").read_text()
                name = (folder / "cwd").readlink().name
            except OSError:  # it has ended meanwhile
                continue
            if is_ours and name.startswith("chip"):
                found[int(name.removeprefix("chip"))] = int(folder.name)
        return found
