"""Sets up what a checkout needs before it can run: a virtual environment and a MicroPython.

These modules run before anything is installed, so they use the standard library alone.
"""

# Annotations stay text, so that a Python too old for us lives to say so in one line.
from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from host.errors import SetupError


def run_quietly(
    command: Sequence[str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; returns it with stdout and stderr as one text, in English."""
    return subprocess.run(
        command,
        cwd=cwd,
        # The flags of a make that called us are not for the makes that we call.
        env={**os.environ, "LC_ALL": "C.UTF-8", "MAKEFLAGS": ""},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def find_cause(ended: subprocess.CompletedProcess[str]) -> str:
    """Returns the line of a failed command's output that says why: the last error or last line."""
    lines = ended.stdout.strip().splitlines() or [f"status {ended.returncode}"]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines)[-1]


def run_step(*command: str) -> None:
    """Runs a command to its end; raises SetupError with the line that says why where it fails."""
    ended = run_quietly(command)
    if ended.returncode:
        raise SetupError(f"{Path(command[0]).name} failed: {find_cause(ended)}")
