"""Reads and writes little-endian fields of a buffer in place, without struct's tuples, and makes
buffers of integers."""

from array import array

from protocol.compat import micropython, ptr8


@micropython.viper
def u16(buf: ptr8, at: int) -> int:
    """Returns the unsigned 16-bit field at offset `at`."""
    return buf[at] | buf[at + 1] << 8


@micropython.viper
def u32(buf: ptr8, at: int) -> int:
    """Returns the 32-bit field at offset `at`; on MicroPython those from 2**31 on are negative."""
    return buf[at] | buf[at + 1] << 8 | buf[at + 2] << 16 | buf[at + 3] << 24


@micropython.viper
def put_u16(buf: ptr8, at: int, value: int):
    """Writes the low 16 bits of `value` at offset `at`."""
    buf[at] = value & 255
    buf[at + 1] = value >> 8 & 255


@micropython.viper
def put_u32(buf: ptr8, at: int, value: int):
    """Writes the low 32 bits of `value` at offset `at`."""
    buf[at] = value & 255
    buf[at + 1] = value >> 8 & 255
    buf[at + 2] = value >> 16 & 255
    buf[at + 3] = value >> 24 & 255


@micropython.viper
def same(a: ptr8, a_at: int, b: ptr8, b_at: int, count: int) -> int:
    """Returns 1 if a[a_at : a_at + count] equals b[b_at : b_at + count], else 0.

    It takes the same time wherever the first difference is, so that an attacker cannot learn from
    it how much of a MAC was right.
    """
    differing = 0
    i = 0
    while i < count:
        differing = a[a_at + i] ^ b[b_at + i] | differing
        i += 1
    if differing:
        return 0
    return 1


def int32s(count):
    """Returns a memoryview of `count` 32-bit integers, all zero.

    array("i", bytes(...)) would allocate a second buffer of this size for a moment, for which a
    full heap may have no room.
    """
    made = memoryview(array("i", range(count)))
    for at in range(count):
        made[at] = 0
    return made
