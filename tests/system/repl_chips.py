"""Chips on one cable each: their line is the terminal on which a board has its REPL."""

import contextlib
import os
import signal
import subprocess
import termios
import tty

from host.build.bundle import chip_files
from host.build.compilation import compiled
from host.build.configuration import (
    REPL_MTU,
    REPL_UART,
    board_settings,
    configuration,
)
from host.hardware.boards import load
from host.hardware.ram import ON_BOARD
from host.launch.session import open_session
from host.links.access import REPL_BAUD
from host.links.transport import Line, Transport, open_port
from host.setup import micropython
from host.simulation.hub import HubProcess
from tests.plans import tensor_plan
from tests.simulation.launch import STANDINS

ARCH = "x86"
BOARD = board_settings(load("esp32s3"))
_RESETS = (72, 73, 75)  # see host/simulation/standins/machine.py


class ReplChip:
    """A process whose standard input and output are a terminal, and `port` its other side."""

    def __init__(self, folder, files, heap, environment):
        self._folder, self._heap = folder, heap
        self._environment = {"MICROPYPATH": ".:standins:.frozen", "FEDERATION_CONSOLE": "1"}
        self._environment.update(environment)
        standins = {
            f"standins/{path.stem}.mpy": compiled(path.read_bytes(), path.name, ARCH, "native")
            for path in STANDINS.glob("*.py")
        }
        # Or each module would keep the path of this folder, which no board has.
        files = {**files, "main.py": b"import sys; sys.path[0] = ''\n" + files["main.py"]}
        for name, content in {**standins, **files}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        self._chip, self._host = os.openpty()
        for side in (self._chip, self._host):
            tty.setraw(side)
        self.port = os.ttyname(self._host)
        self.process = self._started()

    def _started(self):
        # The unix port would make Ctrl-C an interrupt of its own: main.py alone is run.
        return subprocess.Popen(
            [micropython.find(), "-X", f"heapsize={self._heap}", "main.py"],
            cwd=self._folder,
            env=self._environment,
            stdin=self._chip, stdout=self._chip, stderr=self._chip,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )  # fmt: skip

    def resume(self):
        """Starts it anew where it has reset itself."""
        if self.process.poll() in _RESETS:
            self.process = self._started()

    def close(self):
        self.process.kill()
        self.process.wait()
        for side in (self._chip, self._host):
            with contextlib.suppress(termios.error, OSError):
                os.close(side)


class RecordingPort:
    """A pyserial port that keeps what is written to it."""

    def __init__(self, port):
        self._port = port
        self.written = b""

    def __getattr__(self, name):
        return getattr(self._port, name)

    def write(self, data):
        taken = self._port.write(data)
        self.written += bytes(data[:taken])
        return taken


@contextlib.contextmanager
def repl_federation(
    model, folder, chips, *, heap, context=128, key=b"", board=BOARD, prompt_ms=0, change=None,
    timeout=2.5, mtu=None,
):  # fmt: skip
    """What host.launch.session gives for such chips, with their ports and processes.

    heap: bytes of each chip's, of which its stand-ins for modules in C take a part; board: its
    settings, None for none; mtu: of a radio, behind whose gateway, the first, all others are, None
    for a line to each.
    """
    plan = tensor_plan(
        model, chips, context, heap=heap - ON_BOARD["uart"], mtu=mtu, signed=bool(key)
    )
    board = board and {**board, "prompt_ms": prompt_ms}
    with contextlib.ExitStack() as stack:
        started, ports, shards, air = [], [], {}, {}
        if mtu:
            hub = stack.enter_context(HubProcess())
            air = {"FEDERATION_HUB": str(hub.port), "FEDERATION_MTU": str(mtu)}
        for shard in plan.shards:
            config = configuration(plan, shard, uart=REPL_UART, board=board, key=key)
            files = chip_files(model, plan, shard, ARCH, config)
            shards[shard.chip] = files["shard.bin"]
            if change:
                change(shard.chip, files)
            environment = {**air, "FEDERATION_MAC": f"0242{shard.chip:08x}"}
            chip = ReplChip(folder / f"chip{shard.chip}", files, heap, environment)
            started.append(chip)
            stack.callback(chip.close)
            ports.append(RecordingPort(open_port(chip.port, REPL_BAUD)))
        lines = {chip: Line(port) for chip, port in enumerate(ports)}
        if mtu:
            lines = dict.fromkeys(lines, lines[0])
        with open_session(
            model, plan, Transport(lines, REPL_MTU), shards=shards, key=key, start_timeout=30,
            timeout=timeout, watch=lambda: [chip.resume() for chip in started],
        ) as running:  # fmt: skip
            yield running, ports, started
