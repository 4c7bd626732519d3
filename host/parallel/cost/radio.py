"""Models how long ESP-NOW's packets take, from published measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from host.hardware.board import Board


@dataclass(frozen=True)
class RadioRate:
    """ESP-NOW at one rate, from published measurements.

    bits: per second; unicast, broadcast: bytes per second in packets of 250 bytes; round_trip:
    seconds, of small packets.
    """

    bits: float
    unicast: float
    broadcast: float
    round_trip: float

    def airtime(self, size: int, is_broadcast: bool) -> float:
        """Returns the seconds that a packet of `size` bytes takes on the air. A packet of version
        2 consists of elements of at most 250 bytes."""
        throughput = self.broadcast if is_broadcast else self.unicast
        more = size - PUBLISHED + ELEMENT_HEAD * (max(size - 1, 0) // PUBLISHED)
        return PUBLISHED / throughput + 8 * more / self.bits

    @property
    def turnaround(self) -> float:
        """Seconds of a round trip without its two packets: from radio to program and back."""
        return self.round_trip - 2 * self.airtime(SMALL, is_broadcast=False)


PUBLISHED, SMALL = 250, 60  # bytes
# Bytes before the data of each vendor-specific element but the first, whose are contained in the
# published rates: element id, length, organization, type, version (Espressif's description).
ELEMENT_HEAD = 7
RATE_54M = 0x0C  # boards/*.toml, WIFI_PHY_RATE_54M
DEFAULT_RATE = RadioRate(1e6, 89_250, 101_000, 5.4e-3)
FIXED_RATES = {RATE_54M: RadioRate(54e6, 778_500, 963_000, 0.7e-3)}


def find_rate(number: int | None) -> RadioRate:
    """Returns the rate with a number of ESP-IDF's, the default one for None."""
    return FIXED_RATES.get(number or 0, DEFAULT_RATE)


def radio_rate(boards: Sequence[Board]) -> RadioRate:
    """Returns the rate of the slowest of these boards, which is assumed for all."""
    rates = [find_rate(board.espnow.rate if board.espnow else None) for board in boards]
    return min(rates, key=lambda rate: rate.bits)
