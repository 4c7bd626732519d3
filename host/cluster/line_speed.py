"""How fast the serial lines to chips can be: tried, verified, and as they began where they fail.

A bridge or a cable that does not carry a speed damages or loses frames. So each line is tried at
the fastest speed first: the chip is told of it (firmware/links/line_speed.py), both ends change,
and the chip has to echo what is as hard to carry as any frame. Where one echo fails, the host
changes back; the chip does when what comes is not understood, and so after a host that ended
without a word.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from host.cluster.coordinator import Coordinator
from host.cluster.request import NeedsHandshake
from host.errors import ClusterError
from host.links.transport import Transport

_LOG = logging.getLogger("federation")

FAST_BAUDS = (3_000_000, 2_000_000)  # that bridges are offered with, the fastest first
_ECHOES, _ECHO_SIZE = 12, 200  # some 20 kilobits each way
_ECHO_TIMEOUT = 0.4  # seconds
_BACK_TIMEOUT = 10.0  # in which a chip must be understood again


def speeds_to_try(base: int, limit: int | None) -> list[int]:
    """Returns the speeds above `base`, none above the limit that an earlier session has found."""
    return [baud for baud in FAST_BAUDS if base < baud <= (limit or FAST_BAUDS[0])]


def raise_speeds(
    coordinator: Coordinator, transport: Transport, base: int, speeds: Sequence[int]
) -> int:
    """Returns the fastest of these speeds that all lines carry, at which they are from now on.

    base: bits per second that they have. Raises ClusterError for a chip that is not understood
    any more, at no speed.
    """
    reached = base
    lines = transport.first_chips()
    for baud in speeds:
        at = [chip for chip in lines if _raise(coordinator, transport, chip, baud)]
        if len(at) == len(lines):
            reached = baud
            break
        for chip in lines:
            if chip not in at or not _is_changed(coordinator, transport, chip, base):
                _fall_back(coordinator, transport, chip)
    if speeds:
        _LOG.info("serial lines at %d baud", reached)
    return reached


def restore_speeds(coordinator: Coordinator, transport: Transport, base: int) -> None:
    """Has all lines be as slow as they began, for whoever opens them next."""
    for chip in transport.first_chips():
        # One that fails changes by itself when it does not understand what comes.
        _is_changed(coordinator, transport, chip, base)


def _raise(coordinator: Coordinator, transport: Transport, chip: int, baud: int) -> bool:
    """Whether a line carries a speed, at which it then is on the host's side at least."""
    resends = coordinator.resends
    if not _is_changed(coordinator, transport, chip, baud):
        return False
    try:
        for _ in range(_ECHOES):
            sent = bytes(4) + os.urandom(_ECHO_SIZE)
            if coordinator.ask_line(chip, sent, _ECHO_TIMEOUT) != sent:
                return False
    except (ClusterError, NeedsHandshake):
        return False
    return coordinator.resends == resends


def _is_changed(coordinator: Coordinator, transport: Transport, chip: int, baud: int) -> bool:
    """Changes both ends of a line; whether they did as they were told."""
    try:
        coordinator.ask_line(chip, baud.to_bytes(4, "little"), _ECHO_TIMEOUT)
        transport.set_baud(chip, baud)
    except (ClusterError, NeedsHandshake):
        return False
    return True


def _fall_back(coordinator: Coordinator, transport: Transport, chip: int) -> None:
    """Has a line be as it was, whatever its chip has understood. Raises ClusterError."""
    transport.fall_back(chip)
    coordinator.handshake([chip], _BACK_TIMEOUT, where="after a trial of its line's speed")
