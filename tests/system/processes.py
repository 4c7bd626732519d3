"""The command line as a child process, and the processes that it starts, found through /proc."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.simulation.launch import running

REPOSITORY = Path(__file__).resolve().parents[2]


def _heed_signals():
    """A test run in the background, or by nohup, ignores some, which a child would inherit."""
    for how in (signal.SIGINT, signal.SIGHUP):
        signal.signal(how, signal.SIG_DFL)


class Command:
    """`python -m host.run` with these arguments; its temporary files go to `folder`."""

    def __init__(self, folder, *arguments, **environment):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "host.run", *map(str, arguments)],
            cwd=REPOSITORY,
            env={**os.environ, "TMPDIR": str(folder), "TERM": "dumb", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,  # as a shell does, so that an interrupt can be for all of it
            preexec_fn=_heed_signals,
        )
        self.text = b""
        self.started = set()  # every process seen

    def children(self):
        """The processes that it has started and that run, with their working directories."""
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(stat[1]) == self.process.pid and stat[0] != "Z":
                    found[int(entry.name)] = os.readlink(entry / "cwd")
        self.started |= set(found)
        return found

    def chips(self):
        """The process of each chip."""
        numbers = {pid: re.search(r"/chip(\d+)$", cwd) for pid, cwd in self.children().items()}
        return {int(number[1]): pid for pid, number in numbers.items() if number}

    def wait_for_text(self, size=1, timeout=60):
        """Until it has printed so many bytes."""
        assert self.process.stdout is not None
        end = time.monotonic() + timeout
        while len(self.text) < size:
            ready, _, _ = select.select([self.process.stdout], [], [], end - time.monotonic())
            piece = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            assert piece, f"ended or ran out of time: {self.text!r} {self.process.poll()}"
            self.text += piece

    def wait_for_chips(self, count, timeout=60):
        """Until so many chips run."""
        end = time.monotonic() + timeout
        while len(self.chips()) < count:
            assert time.monotonic() < end and self.process.poll() is None
            time.sleep(0.005)

    def ended(self, timeout=60):
        """Exit code, all text and the lines on stderr."""
        text, errors = self.process.communicate(timeout=timeout)
        return self.process.returncode, (self.text + text).decode(), errors.decode().splitlines()

    def assert_nothing_is_left(self, timeout=5.0, files=False):
        """No process of those seen, nor a file unless it had no chance to remove them."""
        end = time.monotonic() + timeout
        while alive := [pid for pid in self.started if running(pid)]:
            assert time.monotonic() < end, f"still running: {alive}"
            time.sleep(0.01)
        if not files:
            assert list(self.folder.iterdir()) == []

    def close(self):
        """Ends it and all that it started, where a test failed."""
        self.process.kill()
        self.process.communicate()
        for pid in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
