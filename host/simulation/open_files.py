"""How many files a process may have open: simulated chips take several each."""

from __future__ import annotations

import os
import resource

from host.errors import ClusterError

_EACH = 3  # of a chip: both ends of its terminal or wire, and its standard input
_PORT = 5  # of a serial port at the host: pyserial has two pipes beside it
_BESIDE = 24  # for what is opened for a moment, and by the radio's hub


def reserve_files(chips: int, ports: int, wires: int = 0) -> None:
    """Raises this process's limit of open files to what so many chips take, where it may.

    ports: how many of them the host has a line to; wires: how many ends of wires it has beside.

    Raises ClusterError, which says how many files are needed, where it may not.
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
