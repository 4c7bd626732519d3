"""Decides how long chips may stay silent, and words the error when they do not answer."""

from __future__ import annotations

import logging
import math

from host.cluster.request import NeedsHandshake, Request
from host.errors import ClusterError, one_line
from host.wire.reports import RADIO, Error
from protocol import message_types

_LOG = logging.getLogger("federation")

GATEWAY = 0  # the chip through which the host reaches the others on the radio
# Seconds of silence until a handshake: with a key, a silent chip may have restarted and lost the
# session; if chips wait for one another, with a key or without, any may be the one that the others
# wait for. Each handshake that has shown nothing doubles the seconds, up to the last factor.
HANDSHAKE_AFTER, STEP_HANDSHAKE_AFTER, _LONGEST_BACKOFF = 0.4, 1.0, 4
# If frames are lost, more chips than these take longer to receive all of each other's.
_FEW_CHIPS = 8


def handshake_after(request: Request, has_key: bool) -> float:
    """Returns the seconds of silence after which a handshake is made to see which chips answer."""
    factor = min(2**request.handshakes, _LONGEST_BACKOFF)
    if request.kind == message_types.STEP:
        return STEP_HANDSHAKE_AFTER * factor * max(1.0, len(request.chips) / _FEW_CHIPS)
    if not (request.is_work and has_key):
        return math.inf
    return max(HANDSHAKE_AFTER, request.timeout / 4) * factor


class ReportedErrors:
    """Errors that chips have reported, for messages about silent ones.

    last: the text of each chip's last ERROR; advice: a text added to every such message.
    """

    def __init__(self) -> None:
        self.advice = ""
        self.last: dict[int, str] = {}
        self._radio_failures: dict[int, float] = {}  # by chip: when it last reported one

    def note(self, chip: int, error: Error, now: float) -> bool:
        """Keeps an error; returns whether it is one of the radio, which ends no request."""
        if error.text:
            self.last[chip] = error.text
        if error.code != RADIO:
            return False
        self._radio_failures[chip] = now
        _LOG.warning("chip %d: %s", chip, one_line(error.text))
        return True

    def check_silence(
        self, request: Request, missing: list[int], now: float, has_key: bool, recent: float
    ) -> None:
        """Raises NeedsHandshake or ClusterError if the `missing` chips are silent for too long.

        recent: seconds for which a failed radio may be why chips do not answer.
        """
        silent = now - request.progress
        if silent >= handshake_after(request, has_key):
            raise NeedsHandshake(request)
        if silent >= request.timeout:
            name = f"chip {missing[0]}" if len(missing) == 1 else f"chips {_listed(missing)}"
            raise ClusterError(
                f"{name} did not answer for {silent:.1f} s ({request.where})"
                + self._describe(missing, now - recent)
                + self.advice
            )

    def _describe(self, missing: list[int], since: float) -> str:
        """Returns a text of reported errors that may be why these chips do not answer."""
        failing = [
            f"; the radio of {'the gateway, chip 0,' if chip == GATEWAY else f'chip {chip}'}"
            f" fails: {self.last[chip]}"
            for chip, when in self._radio_failures.items()
            if when >= since
        ]
        last = [(c, e) for c, e in self.last.items() if c in missing]
        errors = "; ".join(f"chip {chip}: {error}" for chip, error in last)
        return failing[0] if failing else f"; last error of {errors}" if errors else ""


def _listed(chips: list[int]) -> str:
    return ", ".join(map(str, chips[:-1])) + f" and {chips[-1]}"
