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
        """table [16]: what four more bits do to the register, by its lowest four."""
        i = 0
        while i < 16:
            value = uint(i)
            bits = 4
            while bits:
                odd = int(value) & 1
                value = value >> 1
                if odd:
                    value = value ^ uint(0 - 0x12477CE0)  # 0xEDB88320, the polynomial reversed
                bits -= 1
            table[i] = int(value)
            i += 1

    @micropython.viper
    def _trailer(buf: ptr8, value: uint, n: int, table: ptr32, checks: int) -> int:
        """Whether the register ends at the residue, or writes it, complemented, at buf[n]."""
        end = int(buf) + n
        while int(buf) < end:
            value = uint(buf[0]) ^ value
            value = uint(table[int(value) & 15]) ^ value >> 4
            value = uint(table[int(value) & 15]) ^ value >> 4
            buf = ptr8(int(buf) + 1)
        n = -1 ^ int(value)
        if checks:
            return 1 if n == 0x2144DF1C else 0
        buf[0] = n
        buf[1] = n >> 8
        buf[2] = n >> 16
        buf[3] = n >> 24
        return 0

    _TABLE = array("i", bytes(64))
    _make_table(_TABLE)

    def crc32_is_right(buf, n):
        """Whether the last four of the first n bytes are the CRC-32 of those before them."""
        return _trailer(buf, -1, n, _TABLE, 1)

    def put_crc32(buf, n):
        """Writes the CRC-32 of the first n bytes behind them."""
        _trailer(buf, -1, n, _TABLE, 0)

else:

    def crc32_is_right(buf, n):
        """Whether the last four of the first n bytes are the CRC-32 of those before them."""
        return _crc32(memoryview(buf)[:n]) == CRC_RESIDUE

    def put_crc32(buf, n):
        """Writes the CRC-32 of the first n bytes behind them."""
        buf[n : n + 4] = _crc32(memoryview(buf)[:n]).to_bytes(4, "little")
