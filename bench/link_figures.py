"""Published figures of the links, and other inputs of the model of a federation.

None of these was measured by this project: what rests on them is labelled "modelled".
"""

from __future__ import annotations

from dataclasses import dataclass

from host.parallel.cost.latency import HOST_SECONDS, USB_SECONDS
from host.parallel.cost.radio import DEFAULT_RATE, FIXED_RATES, RATE_54M, RadioRate
from host.parallel.cost.traffic import BITS_A_BYTE
from protocol.cobs import encoded_size


@dataclass(frozen=True)
class Rate:
    """ESP-NOW at one of its rates."""

    name: str
    figures: RadioRate

    def airtime(self, size: int, to_all: bool) -> float:
        """Returns the seconds for which a frame of `size` bytes keeps the air busy."""
        return self.figures.airtime(size, to_all)

    @property
    def delay(self) -> float:
        """Returns the seconds of a frame besides that, from program to radio and from radio to
        program: half of a published round trip without its frames. The air is free meanwhile."""
        return self.figures.turnaround / 2


RATES = (
    Rate("54 Mbit/s", FIXED_RATES[RATE_54M]),
    # ESP-NOW's default, and all that a C6 or a MicroPython on IDF 5.4.2 has.
    Rate("1 Mbit/s", DEFAULT_RATE),
)

BAUD = 921_600  # of boards/*.toml

# Cycles per instruction, best and worst: an assumption. Both processors are in order and begin at
# most one instruction a cycle; loads that are used at once and taken branches cost more, and code
# that is not in the cache comes from flash. No board was at hand to measure it.
CYCLES = (1.2, 2.0)

# Instructions of the ESP-NOW driver for a frame, counted by others on a C3's stock firmware.
RADIO_SEND, RADIO_RECEIVE = 16_100, 4_900
RADIO_NOTHING = 4_100  # to find that no frame is there
# Of the gateway to pass a frame on: those, a UART's write of 200 bytes (counted likewise), and its
# loop with COBS, as emulated.
_UART_WRITE, _LOOP = 6_600, 14_000
RELAY_TO_RADIO = RADIO_SEND + _LOOP
RELAY_TO_HOST = RADIO_RECEIVE + _UART_WRITE + _LOOP
# To send an answer again, or to ignore a frame for another chip: about the message loop's part of
# a request, as emulated.
REPEAT = 30_000


def line_time(size: int) -> float:
    """Returns the seconds of a frame of `size` bytes on a UART, in COBS."""
    return encoded_size(size) * BITS_A_BYTE / BAUD


def constants() -> list[str]:
    """Returns lines of text with all of these figures."""
    return [
        f"UART {BAUD:,} baud, {BITS_A_BYTE} bits a byte, COBS; USB {USB_SECONDS * 1e3} ms each"
        f" way; host {HOST_SECONDS * 1e3} ms a synchronization",
        *(
            f"ESP-NOW at {rate.name}: airtime = 250 / B + 8 (n - 250) / {rate.figures.bits:,.0f} s"
            f" for n bytes, B = {rate.figures.broadcast:,} bytes/s to all,"
            f" {rate.figures.unicast:,} to one; and {rate.delay * 1e3:.2f} ms for each frame"
            for rate in RATES
        ),
        f"driver: {RADIO_SEND:,} instructions to send, {RADIO_RECEIVE:,} to receive; gateway:"
        f" {RELAY_TO_RADIO:,} for each frame to the radio, {RELAY_TO_HOST:,} to the host;"
        f" {REPEAT:,} to answer again",
        f"seconds of computing = instructions x {CYCLES[0]} to {CYCLES[1]} cycles / clock",
    ]
