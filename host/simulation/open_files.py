"""Raises the limit of open files for simulated chips, which take several each."""

from __future__ import annotations

import os
import resource

from host.errors import ClusterError

_EACH = 3  # for a chip: both ends of its terminal or wire, and its standard input
_PORT = 5  # for a serial port of the host: pyserial opens two pipes besides it
_BESIDE = 24  # for files opened for a moment, and for the radio's hub


def reserve_files(chips: int, ports: int, wires: int = 0) -> None:
    """Raises this process's limit of open files, if need be, to what so many chips take.

    ports: the number of lines that the host has to chips; wires: that of other ends of wires here.
    Raises ClusterError, which says how many files are needed, if that is not allowed.
    """
    needed = len(os.listdir("/dev/fd")) + _EACH * chips + _PORT * ports + wires + _BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ClusterError(
            f"{chips} chip{'s' * (chips > 1)} take {needed} open files, and {hard} are allowed"
            f" here: give fewer chips, or raise that limit (ulimit -Hn {needed}, as root)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
