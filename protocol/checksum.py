"""The check values of protocol versions 1 (a byte sum) and 2 (CRC-32)."""

import sys
from array import array
from binascii import crc32 as _crc32

from protocol.compat import const, micropython, ptr8, ptr32, uint

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


if sys.implementation.name == "micropython":
    # binascii's takes no length: it would need a new memoryview for each frame.

    @micropython.viper
    def _make_table(table: ptr32):
        """table [256]: what eight more bits do to the register, by its lowest eight."""
        i = 0
        while i < 256:
            value = uint(i)
            bits = 8
            while bits:
                odd = int(value) & 1
                value = value >> 1
                if odd:
                    value = value ^ uint(0 - 0x12477CE0)  # 0xEDB88320, the polynomial reversed
                bits -= 1
            table[i] = int(value)
            i += 1

    _TABLE = array("i", bytes(1024))
    _make_table(_TABLE)

    @micropython.viper
    def crc32_trailer(buf: ptr8, n: uint, checks: int) -> int:
        """With `checks`, 1 if the last four of the first n bytes are the CRC-32 of those before
        them, else 0. Without, writes the CRC-32 of the first n bytes behind them."""
        table = ptr32(_TABLE)
        end = int(buf) + int(n)
        words = end - 3
        if int(buf) & 3:  # Xtensa loads no word from there
            words = int(buf)
        n = uint(0 - 1)  # from here on the CRC's register, for parameters sit in the processor's
        while int(buf) < words:
            n = uint(ptr32(buf)[0]) ^ n
            n = uint(table[int(n) & 255]) ^ n >> 8
            n = uint(table[int(n) & 255]) ^ n >> 8
            n = uint(table[int(n) & 255]) ^ n >> 8
            n = uint(table[int(n) & 255]) ^ n >> 8
            buf = ptr8(int(buf) + 4)
        while int(buf) < end:
            n = uint(buf[0]) ^ n
            n = uint(table[int(n) & 255]) ^ n >> 8
            buf = ptr8(int(buf) + 1)
        if checks:
            return 1 if int(n) == 0 - 0x2144DF1D else 0  # CRC_RESIDUE, complemented
        n = uint(-1 ^ int(n))
        buf[0] = int(n)
        buf[1] = int(n) >> 8
        buf[2] = int(n) >> 16
        buf[3] = int(n) >> 24
        return 0

else:

    def crc32_trailer(buf, n, checks):
        """With `checks`, 1 if the last four of the first n bytes are the CRC-32 of those before
        them, else 0. Without, writes the CRC-32 of the first n bytes behind them."""
        if checks:
            return int(_crc32(memoryview(buf)[:n]) == CRC_RESIDUE)
        buf[n : n + 4] = _crc32(memoryview(buf)[:n]).to_bytes(4, "little")
        return 0
