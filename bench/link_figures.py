"""Published figures of the links, and what else the model of a federation takes as given.

None of these was measured by this project: what rests on them is labelled "modelled".
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.framing import encoded_size


@dataclass(frozen=True)
class Rate:
    """ESP-NOW at one rate of its PHY: bits per second, and what was published for packets of 250
    bytes a metre apart, in bytes per second."""

    name: str
    bits: float
    unicast: float
    broadcast: float

    def airtime(self, size: int, to_all: bool) -> float:
        """Seconds that a frame of `size` bytes takes: those of 250 bytes as published, and
        8 / bits for each byte more or fewer."""
        throughput = self.broadcast if to_all else self.unicast
        return _PUBLISHED_SIZE / throughput + 8 * (size - _PUBLISHED_SIZE) / self.bits


_PUBLISHED_SIZE = 250
RATES = (
    Rate("54 Mbit/s", 54e6, 778_500, 963_000),
    # ESP-NOW's default, and all that a C6 or a MicroPython on IDF 5.4.2 has.
    Rate("1 Mbit/s", 1e6, 89_250, 101_000),
)

BAUD = 921_600  # of boards/*.toml
BITS_A_BYTE = 10  # with start and stop bit

# USB polls its devices once in a frame of 1 ms (USB 2.0, full speed): half of that on average.
USB_SECONDS = 0.5e-3
# The host's own work for one synchronization: an assumption, of a machine like this one.
HOST_SECONDS = 0.3e-3

# Cycles per instruction, best and worst: an assumption. Both processors are in order and begin at
# most one instruction a cycle; loads that are used at once and taken branches cost more, and code
# that is not in the cache comes from flash. No board was at hand to measure it.
CYCLES = (1.2, 2.0)

# Instructions of the ESP-NOW driver for a frame, counted by others on a C3's stock firmware.
RADIO_SEND, RADIO_RECEIVE = 16_100, 4_900
# Of the gateway to pass a frame on: those, a UART's write of 200 bytes (counted likewise), and its
# loop with COBS, an assumption.
_UART_WRITE, _LOOP = 6_600, 10_000
RELAY_TO_RADIO = RADIO_SEND + _LOOP
RELAY_TO_HOST = RADIO_RECEIVE + _UART_WRITE + _LOOP
# To send an answer again, or tell that a frame is not for it: about the message loop's part of a
# request, as emulated.
REPEAT = 90_000


def line_time(size: int) -> float:
    """Seconds that a frame of `size` bytes takes on a UART, in COBS."""
    return encoded_size(size) * BITS_A_BYTE / BAUD


def constants() -> list[str]:
    """Everything above in lines for people."""
    return [
        f"UART {BAUD:,} baud, {BITS_A_BYTE} bits a byte, COBS; USB {USB_SECONDS * 1e3} ms each"
        f" way; host {HOST_SECONDS * 1e3} ms a synchronization",
        *(
            f"ESP-NOW at {rate.name}: airtime = 250 / B + 8 (n - 250) / {rate.bits:,.0f} s, B ="
            f" {rate.broadcast:,} bytes/s to all, {rate.unicast:,} to one; n bytes"
            for rate in RATES
        ),
        f"driver: {RADIO_SEND:,} instructions to send, {RADIO_RECEIVE:,} to receive; gateway:"
        f" {RELAY_TO_RADIO:,} for each frame to the radio, {RELAY_TO_HOST:,} to the host;"
        f" {REPEAT:,} to answer again",
        f"seconds of computing = instructions x {CYCLES[0]} to {CYCLES[1]} cycles / clock",
    ]
