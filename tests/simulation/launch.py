"""Start MicroPython processes that import the stand-in modules."""

import atexit
import os
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
STANDINS = REPOSITORY / "host" / "simulation" / "standins"


def gate(path):
    """MicroPython statements that wait until a file of this path exists."""
    return f"""
import os, time
while True:
    try:
        os.stat({str(path)!r})
        break
    except OSError:
        time.sleep_ms(2)
"""


def mac_of(number):
    """The address that tests give to a chip."""
    return bytes([2, 0, 0, 0, 0, number])


def environment(number, hub=None, uart=None, **variables):
    """The environment of a chip's process."""
    known = {
        **os.environ,
        "MICROPYPATH": f"{STANDINS}:{REPOSITORY}:.frozen",
        "FEDERATION_MAC": mac_of(number).hex(),
        **variables,
    }
    if hub is not None:
        known["FEDERATION_HUB"] = str(hub.port)
    if uart is not None:
        known["FEDERATION_UART"] = str(uart)
    return known


def chip(micropython, program, number=1, hub=None, uart=None, heap="1M", **variables):
    """A process that runs the program's text, with pipes for its output."""
    process = subprocess.Popen(
        [micropython, "-X", f"heapsize={heap}", "-c", program],
        env=environment(number, hub, uart, **variables),
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        pass_fds=[] if uart is None else [uart],
    )
    atexit.register(process.kill)  # of a test that failed; nothing where it has ended
    return process


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


def running(pid):
    """Whether a process of this number runs; one that ended and was not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
