"""Finds the fastest speed that all serial lines to chips carry, and sets the lines to it.

A bridge or a cable that does not carry a speed damages or loses frames. So each speed is tried,
the fastest first: the host tells the chip (firmware/links/line_speed.py), both ends change, and
the chip has to echo data that is as hard to carry as any frame. If an echo fails, the host changes
back. The chip changes back when frames come malformed, so also when a host has ended without
changing back.
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

FAST_BAUDS = (3_000_000, 2_000_000)  # speeds that common bridges have, the fastest first
_ECHOES, _ECHO_SIZE = 12, 200  # some 20 kilobits each way
_ECHO_TIMEOUT = 0.4  # seconds
_BACK_TIMEOUT = 10.0  # seconds within which a chip must answer again at the old speed


def speeds_to_try(base: int, limit: int | None) -> list[int]:
    """Returns the speeds above `base` to try, up to the limit that an earlier session found."""
    return [baud for baud in FAST_BAUDS if base < baud <= (limit or FAST_BAUDS[0])]


def raise_speeds(
    coordinator: Coordinator, transport: Transport, base: int, speeds: Sequence[int]
) -> int:
    """Sets all lines to the fastest of these speeds that all of them carry, and returns it.

    base: their present bits per second. Raises ClusterError for a chip that then answers at no
    speed.
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
    """Sets all lines back to their first speed, `base`, for the program that opens them next."""
    for chip in transport.first_chips():
        # A chip that fails to change does so by itself when frames come malformed.
        _is_changed(coordinator, transport, chip, base)


def _raise(coordinator: Coordinator, transport: Transport, chip: int, baud: int) -> bool:
    """Sets a line to a speed; returns whether the line carries it."""
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
    """Changes the speed of both ends of a line; returns whether both did."""
    try:
        coordinator.ask_line(chip, baud.to_bytes(4, "little"), _ECHO_TIMEOUT)
        transport.set_baud(chip, baud)
    except (ClusterError, NeedsHandshake):
        return False
    return True


def _fall_back(coordinator: Coordinator, transport: Transport, chip: int) -> None:
    """Sets a line back to its first speed, whichever the chip has. Raises ClusterError."""
    transport.fall_back(chip)
    coordinator.handshake([chip], _BACK_TIMEOUT, where="after a trial of its line's speed")
