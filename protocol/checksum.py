"""The check values of protocol versions 1 (a byte sum) and 2 (CRC-32)."""

from binascii import crc32 as _crc32

from protocol.compat import const, micropython, ptr8

# CRC-32 over a frame and its own little-endian CRC-32 is this constant (the register always
# ends at 0xDEBB20E3, complemented on output). It is below 2**30, so comparing with it spares
# a 32-bit MicroPython the big integers that a CRC itself mostly is.
CRC_RESIDUE = const(0x2144DF1C)


@micropython.viper
def sum8(buf: ptr8, n: int) -> int:
    """The sum of the first n bytes modulo 256."""
    total = 0
    i = 0
    while i < n:
        total = buf[i] + total
        i += 1
    return total & 255


def crc32(buf, n):
    """CRC-32 (ISO-HDLC, as zlib) of the first n bytes, 0 to 2**32 - 1."""
    return _crc32(memoryview(buf)[:n]) & 0xFFFFFFFF


def crc32_is_right(buf, n):
    """Whether the last four of the first n bytes are the CRC-32 of those before them."""
    return _crc32(memoryview(buf)[:n]) == CRC_RESIDUE
