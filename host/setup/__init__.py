"""Sets up what a checkout needs before it can run: a virtual environment and a MicroPython.

These modules run before anything is installed, so they use the standard library alone.
"""

# Annotations stay text, so that a Python that is too old can report that in one line.
from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from host.errors import SetupError

_SILENT_SECONDS = 10.0  # after which a step reports that it is still running
# Causes that are recognized in the output of any program.
_CAUSES = (
    (re.compile("No space left on device|not enough free space|Disk quota exceeded", re.I),
     "the disk is full"),
    (re.compile("Too many open files"), "too few files may be open here: raise ulimit -n"),
    (re.compile("Cannot allocate memory|out of memory", re.I), "there is too little memory"),
    (re.compile("Read-only file system"), "the folder is on a file system that is read-only"),
)  # fmt: skip
# Lines that report only that another program has failed.
_WRAPPER = re.compile(r"returned non-zero exit status|subprocess .* (failed|was killed)|^make\b")


def run_quietly(
    command: Sequence[str], cwd: Path | None = None, doing: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, in English; returns its status with stdout and stderr as one
    text.

    doing: a text to print every few seconds if it takes long, empty for none.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            # The flags of a make that runs this program are not for the makes that this runs.
            env={**os.environ, "LC_ALL": "C.UTF-8", "MAKEFLAGS": ""},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        started = time.monotonic()
        try:
            while process.poll() is None:
                try:
                    process.wait(_SILENT_SECONDS)
                except subprocess.TimeoutExpired:
                    if doing:
                        seconds = time.monotonic() - started
                        print(f"setup: {doing}, for {seconds:.0f} s", file=sys.stderr, flush=True)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        output.seek(0)
        return subprocess.CompletedProcess(command, process.returncode, output.read())


def find_machine_cause(output: str) -> str | None:
    """Returns what is wrong with the machine, by a program's output; None if that does not say."""
    return next((cause for pattern, cause in _CAUSES if pattern.search(output)), None)


def find_cause(ended: subprocess.CompletedProcess[str]) -> str:
    """Returns why a command failed: what is wrong with the machine, if its output says that, else
    the last line with an error, or the last line."""
    if cause := find_machine_cause(ended.stdout):
        return cause
    lines = ended.stdout.strip().splitlines() or [f"status {ended.returncode}"]
    lines = [line for line in lines if not _WRAPPER.search(line)] or lines
    errors = [line for line in lines if re.match("([a-z-]+: )?(error|fatal)", line, re.I)]
    return (errors or lines)[-1].strip()


def run_step(*command: str, doing: str = "") -> None:
    """Runs a command to its end; if it fails, raises SetupError with the line that says why.

    doing: as for run_quietly.
    """
    ended = run_quietly(command, doing=doing)
    if ended.returncode:
        raise SetupError(f"{Path(command[0]).name} failed: {find_cause(ended)}")
