"""Start MicroPython processes that import the stand-in modules."""

import os
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
STANDINS = REPOSITORY / "host" / "simulation" / "standins"


def mac_of(number):
    """The address that tests give to a chip."""
    return bytes([2, 0, 0, 0, 0, number])


def chip(micropython, program, number=1, hub=None, uart=None, heap="1M", **environment):
    """A process that runs the program's text, with pipes for its output."""
    known = {
        **os.environ,
        "MICROPYPATH": f"{STANDINS}:{REPOSITORY}:.frozen",
        "FEDERATION_MAC": mac_of(number).hex(),
        **environment,
    }
    if hub is not None:
        known["FEDERATION_HUB"] = str(hub.port)
    if uart is not None:
        known["FEDERATION_UART"] = str(uart)
    return subprocess.Popen(
        [micropython, "-X", f"heapsize={heap}", "-c", program],
        env=known,
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        pass_fds=[] if uart is None else [uart],
    )


def output(process, timeout=20):
    """What the process prints until it ends; AssertionError with it where it ends badly."""
    try:
        text, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        text, _ = process.communicate()
        raise AssertionError(f"still running, has printed:\n{text}") from None
    assert process.returncode == 0, text
    return text
