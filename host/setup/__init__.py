"""What a checkout needs before it can run: a virtual environment and a MicroPython.

These modules run before anything is installed, so they use the standard library alone.
"""

# Annotations stay text, so that a Python too old for us lives to say so in one line.
from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from host.errors import SetupError


def finished(command: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A command that has ended, with stdout and stderr together as text, in English."""
    return subprocess.run(
        command,
        cwd=cwd,
        # A make that called us has flags that are not for the makes that we call.
        env={**os.environ, "LC_ALL": "C.UTF-8", "MAKEFLAGS": ""},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def telling_line(ended: subprocess.CompletedProcess[str]) -> str:
    """The line of a failed command's output that says most: the last error, or the last line."""
    lines = ended.stdout.strip().splitlines() or [f"status {ended.returncode}"]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines)[-1]


def run_step(*command: str) -> None:
    """Run a command to its end; SetupError with its most telling line where it fails."""
    ended = finished(command)
    if ended.returncode:
        raise SetupError(f"{Path(command[0]).name} failed: {telling_line(ended)}")
