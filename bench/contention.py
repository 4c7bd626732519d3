"""Models who sends when on a shared air, and which frames collide: IEEE 802.11's distributed
coordination.

A station with a frame draws a number of slots, from 0 to the window less one. When the air becomes
free, the station with the fewest slots left sends; the others keep their slots beyond those.
Stations with equally few send at the same time, and all of their frames are lost. A frame to one
station is then sent again, with a window twice as wide each time, because its acknowledgement is
missing; a frame to all is not acknowledged, and is lost for good. Stations that need the air
within a slot of one another also draw, because none of them hears the other yet.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from random import Random
from typing import Any

import simpy

# Of 2.4 GHz with OFDM's rates (IEEE 802.11-2020, 18.4.5): seconds of a slot and of a short
# interval between frames; slots to draw from, at first and at most; times a frame is sent at most.
SLOT, SIFS = 9e-6, 10e-6
WINDOW, WIDEST_WINDOW, MOST_TRIES = 16, 1024, 7


@dataclass
class _Waiting:
    """A station's frame that waits for the air."""

    slots: int
    seconds: float
    sent: simpy.Event  # whose value is whether it collided


class SharedAir:
    """The air, shared by this rule. frames, collided: how many were sent, and how many of them
    collided."""

    def __init__(self, env: simpy.Environment, random: Random, window: int = WINDOW) -> None:
        self.frames = self.collided = 0
        self._env, self._random, self._window = env, random, window
        self._waiting: list[_Waiting] = []
        self._is_shared_out = False

    def carry(self, seconds: float, to_all: bool) -> Generator[simpy.Event, Any, bool]:
        """Sends a frame; returns whether it arrived. seconds: including its acknowledgement and
        the mean wait of a station that is alone."""
        window = self._window
        for _ in range(1 if to_all else MOST_TRIES):
            waiting = _Waiting(self._random.randrange(window), seconds, self._env.event())
            self._waiting.append(waiting)
            if not self._is_shared_out:
                self._is_shared_out = True
                self._env.process(self._share_out())
            has_collided = yield waiting.sent
            if not has_collided:
                return True
            window = min(2 * window, WIDEST_WINDOW)
        return False

    def _share_out(self) -> Generator[simpy.Event, Any, None]:
        while self._waiting:
            yield self._env.timeout(SLOT)
            least = min(each.slots for each in self._waiting)
            sending = [each for each in self._waiting if each.slots == least]
            self._waiting = [each for each in self._waiting if each.slots > least]
            for each in self._waiting:
                each.slots -= least
            self.frames += len(sending)
            self.collided += len(sending) if len(sending) > 1 else 0
            yield self._env.timeout(max(each.seconds for each in sending))
            for each in sending:
                each.sent.succeed(len(sending) > 1)
        self._is_shared_out = False


@dataclass(frozen=True)
class Modulation:
    """The encoding of bits at one rate. preamble: seconds; symbol_bits, symbol: bits and seconds
    of a symbol; service_bits: besides the frame's; ack: seconds of an acknowledgement."""

    preamble: float
    symbol_bits: float
    symbol: float
    service_bits: int
    ack: float

    def frame(self, size: int) -> float:
        """Returns the seconds of a frame of `size` bytes."""
        bits = 8 * size + self.service_bits
        symbols = -(-bits // self.symbol_bits)
        return self.preamble + symbols * self.symbol


# By Mbit/s: long and short preambles of 802.11b, with acknowledgements at 1 and 2 Mbit/s; OFDM
# with its signal extension, and acknowledgements at 24 Mbit/s.
MODULATIONS = {
    1: Modulation(192e-6, 1, 1e-6, 0, 192e-6 + 112e-6),
    11: Modulation(96e-6, 11, 1e-6, 0, 96e-6 + 56e-6),
    54: Modulation(26e-6, 216, 4e-6, 22, 34e-6),
}
# Bytes of a frame besides its payload: header, category, organization, random number, one
# element's head, check sequence (Espressif's description of ESP-NOW).
FRAME_HEAD = 24 + 1 + 3 + 4 + 7 + 4


def airtime(mbit: int, size: int, to_all: bool) -> float:
    """Returns the seconds from one frame of `size` <= 250 bytes of payload to the next, of a
    station that is alone: DIFS + half a window of slots + frame and, to one station, SIFS +
    acknowledgement."""
    of = MODULATIONS[mbit]
    difs = SIFS + 2 * SLOT
    alone = difs + (WINDOW - 1) / 2 * SLOT + of.frame(size + FRAME_HEAD)
    return alone if to_all else alone + SIFS + of.ack
