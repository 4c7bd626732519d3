"""Models how long ESP-NOW's packets take, from published measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from host.hardware.board import Board


@dataclass(frozen=True)
class RadioRate:
    """ESP-NOW at one rate: bits per second; bytes per second in packets of 250 bytes to one and to
    all; seconds of a round trip of small packets. All published by others."""

    bits: float
    unicast: float
    broadcast: float
    round_trip: float

    def airtime(self, size: int, is_broadcast: bool) -> float:
        """Seconds that a packet of `size` bytes takes; one of version 2 is as many elements of at
        most 250 bytes as it needs."""
        throughput = self.broadcast if is_broadcast else self.unicast
        more = size - PUBLISHED + ELEMENT_HEAD * (max(size - 1, 0) // PUBLISHED)
        return PUBLISHED / throughput + 8 * more / self.bits

    @property
    def turnaround(self) -> float:
        """Seconds of a round trip beside its two packets, from radio to program and back."""
        return self.round_trip - 2 * self.airtime(SMALL, is_broadcast=False)


PUBLISHED, SMALL = 250, 60  # bytes
# Of a vendor-specific element, beside the first one's, which the published rates contain: element
# id, length, organization, type, version (Espressif's description of the frame).
ELEMENT_HEAD = 7
RATE_54M = 0x0C  # boards/*.toml, WIFI_PHY_RATE_54M
DEFAULT_RATE = RadioRate(1e6, 89_250, 101_000, 5.4e-3)
FIXED_RATES = {RATE_54M: RadioRate(54e6, 778_500, 963_000, 0.7e-3)}


def find_rate(number: int | None) -> RadioRate:
    """Returns the rate that boards name so, the default where it is not set."""
    return FIXED_RATES.get(number or 0, DEFAULT_RATE)


def radio_rate(boards: Sequence[Board]) -> RadioRate:
    """Returns the rate at which the slowest of these boards sends, which is assumed for all."""
    rates = [find_rate(board.espnow.rate if board.espnow else None) for board in boards]
    return min(rates, key=lambda rate: rate.bits)
