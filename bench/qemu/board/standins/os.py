# mypy: ignore-errors
"""`os` on the emulated board, whose port has no random numbers: what starts differ by."""

from machine import mem32
from micropython import const
from uos import *  # noqa: F403

_CLOCK = const(0x101000)  # nanoseconds of QEMU's real-time clock, the low half


def urandom(size):
    """Returns so many bytes that differ from start to start. They are not secret."""
    made = bytearray(size)
    state = mem32[_CLOCK] | 1
    for at in range(size):  # xorshift32
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        made[at] = state >> 8 & 0xFF
    return bytes(made)
