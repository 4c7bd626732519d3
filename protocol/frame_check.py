"""Checks a frame of version 2 or 3 in one call, and makes the CRC-32 of version 2.

Faults are negated indices of protocol/frame_faults.py. Chips whose frames are all of version 3
have protocol/header_check.py in its place, where host/build/bundle.py says so.

CRC-32 over a frame and its own little-endian CRC-32 is 0x2144DF1C: the register always ends at
0xDEBB20E3, complemented on output.
"""

import sys
from array import array

from protocol.compat import micropython, ptr8, ptr32, uint

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
    def check_frame(buf: ptr8, n: uint) -> int:
        """The payload length of the n-byte frame whose header is sound, and of version 2 its
        CRC-32, or a fault negated."""
        if int(n) < 9:
            return -4
        version = buf[0]
        trailer = 4
        if version == 3:
            trailer = 12
        elif version != 2:
            return -1
        length = buf[6] | buf[7] << 8
        if length > 2048:
            return -3
        if int(n) != length + trailer + 8:
            return -5
        if buf[2] == 255:
            return -2
        if version != 2:
            return length
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
        if int(n) != 0 - 0x2144DF1D:
            return -7
        return length

    # The loops again: a call for them would take as long as 50 bytes.
    @micropython.viper
    def put_crc32(buf: ptr8, n: uint):
        """Writes the CRC-32 of the first n bytes behind them."""
        table = ptr32(_TABLE)
        end = int(buf) + int(n)
        words = end - 3
        if int(buf) & 3:
            words = int(buf)
        n = uint(0 - 1)
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
        n = uint(-1 ^ int(n))
        buf[0] = int(n)
        buf[1] = int(n) >> 8
        buf[2] = int(n) >> 16
        buf[3] = int(n) >> 24

else:
    from binascii import crc32 as _crc32

    _TRAILERS = {2: 4, 3: 12}

    def check_frame(buf, n):
        """The payload length of the n-byte frame whose header is sound, and of version 2 its
        CRC-32, or a fault negated."""
        if n < 9:
            return -4
        version = buf[0]
        if version not in _TRAILERS:
            return -1
        length = buf[6] | buf[7] << 8
        if length > 2048:
            return -3
        if n != length + _TRAILERS[version] + 8:
            return -5
        if buf[2] == 255:
            return -2
        if version == 2 and _crc32(memoryview(buf)[:n]) != 0x2144DF1C:
            return -7
        return length

    def put_crc32(buf, n):
        """Writes the CRC-32 of the first n bytes behind them."""
        buf[n : n + 4] = _crc32(memoryview(buf)[:n]).to_bytes(4, "little")
