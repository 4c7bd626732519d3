"""Watches which chips at a port still answer: a board may die while its port stays open.

That can happen behind a port server, on a bridge that is powered by USB, and over the radio. A
chip that has sent nothing for a while is asked, as often as a bad radio needs.
"""

from __future__ import annotations

# Seconds of silence after which a chip is asked; the interval of these requests; seconds of
# silence after which it is reported as silent; and the interval of requests to a silent chip. If
# 30 % of frames are lost in each direction, all 14 requests go unanswered once in 10,000 times.
ASK_AFTER, ASK_INTERVAL, SILENT_AFTER, LOOK_INTERVAL = 1.0, 0.25, 4.5, 3.0


class Watch:
    """Knows when each chip that has answered was last heard. All times are in seconds."""

    def __init__(self) -> None:
        self._heard: dict[int, float] = {}
        self._ask_at: dict[int, float] = {}
        self._silent: set[int] = set()

    @property
    def chips(self) -> list[int]:
        """The chips that are watched."""
        return list(self._heard)

    def note(self, chip: int, now: float) -> bool:
        """Takes in that a chip sent something; returns whether it had been silent."""
        was_silent = chip in self._silent
        self._silent.discard(chip)
        self._heard[chip], self._ask_at[chip] = now, now + ASK_AFTER
        return was_silent

    def hold(self, until: float) -> None:
        """Asks nobody before this time."""
        for chip in self._ask_at:
            self._ask_at[chip] = max(self._ask_at[chip], until)

    def forget(self) -> None:
        """Watches no chip until one answers."""
        self._heard.clear()
        self._ask_at.clear()
        self._silent.clear()

    def due(self, now: float) -> list[tuple[int, bool]]:
        """Returns the chips to ask now, and whether each is silent."""
        chips = [chip for chip, at in self._ask_at.items() if now >= at]
        for chip in chips:
            self._ask_at[chip] = now + (LOOK_INTERVAL if chip in self._silent else ASK_INTERVAL)
        return [(chip, chip in self._silent) for chip in chips]

    def fallen_silent(self, now: float) -> list[int]:
        """Returns the chips that have become silent since the last call."""
        found = [
            chip
            for chip, heard in self._heard.items()
            if now >= heard + SILENT_AFTER and chip not in self._silent
        ]
        self._silent.update(found)
        return found
