"""A program at a terminal of its own, typed at and read as a user does."""

import codecs
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# What a line editor writes to place the cursor, clear a line or tell of pastes.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
CTRL_C, CTRL_D, UP = "\x03", "\x04", "\x1b[A"


class Terminal:
    """`python -m host.run` with these arguments; all three streams are one terminal."""

    def __init__(self, *arguments, history=""):
        self._master, slave = pty.openpty()

        def take_terminal():
            ioctl(slave, termios.TIOCSCTTY, 0)  # or Ctrl-C would be for nobody
            signal.signal(signal.SIGINT, signal.default_int_handler)

        self.process = subprocess.Popen(
            [sys.executable, "-m", "host.run", *map(str, arguments)],
            cwd=REPOSITORY,
            env={**os.environ, "TERM": "vt100", "COLUMNS": "100",
                 "FEDERATION_HISTORY": str(history)},
            stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True, preexec_fn=take_terminal,
        )  # fmt: skip
        os.close(slave)
        self._text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def type(self, keys):
        """Types keys; a line ends with a newline."""
        os.write(self._master, keys.encode())

    def await_held_keys(self):
        """Returns once what is typed is not shown any more."""
        end = time.monotonic() + 60
        while termios.tcgetattr(self._master)[3] & termios.ECHO:
            assert time.monotonic() < end, "keys are shown"
            time.sleep(0.01)

    def until(self, ending, timeout=60.0):
        """What is written up to `ending`, both, from where the last call ended."""
        end = time.monotonic() + timeout
        while ending not in self._text:
            assert self._read(end - time.monotonic()), f"no {ending!r} after {self._text!r}"
        return self._taken(ending)

    def interrupt_until(self, ending):
        """The same, with Ctrl-C typed each second: readline may overlook one that comes at once
        after a key, until the next."""
        for _ in range(60):
            self.type(CTRL_C)
            end = time.monotonic() + 1  # its echo comes first
            while ending not in self._text and self._read(end - time.monotonic()):
                pass
            if ending in self._text:
                return self._taken(ending)
        raise AssertionError(f"no {ending!r} after {self._text!r}")

    def _taken(self, ending):
        found, _, self._text = self._text.partition(ending)
        return found + ending

    def ended(self, timeout=60.0):
        """The exit code, and what was still to be read."""
        end = time.monotonic() + timeout
        while self._read(end - time.monotonic()):
            pass
        return self.process.wait(max(end - time.monotonic(), 0)), self._text

    def _read(self, timeout):
        ready, _, _ = select.select([self._master], [], [], max(timeout, 0))
        try:
            piece = os.read(self._master, 4096) if ready else b""
        except OSError:  # nobody holds the other end any more
            return False
        text = self._text + self._decoder.decode(piece)
        self._text = _CONTROL.sub("", text).replace("\r\n", "\n")
        return bool(piece)

    def close(self):
        """Ends the program, where a test failed."""
        self.process.kill()
        self.process.wait()
        os.close(self._master)
