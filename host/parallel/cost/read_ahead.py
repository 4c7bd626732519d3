"""Models how chips read weights ahead from flash while they wait (firmware/compute/blocks.py)."""

from __future__ import annotations

from math import ceil

from host.parallel.plan import Plan

_PIECE = 8_192  # bytes that an idle chip reads at once


class ReadAhead:
    """What each chip has read ahead of its work, in seconds of reading."""

    def __init__(self, plan: Plan, rates: list[int | None]) -> None:
        """rates: bytes per second with which each chip reads flash into buffers, None where it
        does not, or no rate is known."""
        self._ahead = [0.0] * plan.chips
        # Chips: seconds of the pieces that an idle one reads, and of all that its buffers hold.
        self._pieces: dict[int, tuple[float, float]] = {}
        for chip, rate in enumerate(rates):
            if rate and plan.block(chip):
                count, size = plan.buffers(chip)
                count, size = (count, size) if count else (2, plan.block(chip))
                self._pieces[chip] = min(size, _PIECE) / rate, (count - 1) * size / rate

    @property
    def is_used(self) -> bool:
        """Whether any chip reads ahead."""
        return bool(self._pieces)

    def take(self, chip: int, seconds: float) -> float:
        """Takes what a chip needs, `seconds` of reading; returns the seconds of what is not read
        yet."""
        taken = min(seconds, self._ahead[chip])
        self._ahead[chip] -= taken
        return seconds - taken

    def wait(self, chip: int, seconds: float) -> float:
        """Has a chip wait; returns by how many seconds it goes on late, because it reads whole
        pieces."""
        if chip not in self._pieces or seconds <= 0:
            return 0.0
        piece, room = self._pieces[chip]
        free = int((room - self._ahead[chip]) / piece + 1e-9)
        count = min(ceil(seconds / piece), free)
        self._ahead[chip] += count * piece
        return max(0.0, count * piece - seconds)
