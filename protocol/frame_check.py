"""Checks a frame of version 2 or 3 in one call, and computes the CRC-32 of version 2.

A fault is returned as a negated index into protocol/frame_faults.py. Chips whose frames are all of
version 3 get protocol/header_check.py instead (host/build/bundle.py).

The CRC-32 of a frame with its own little-endian CRC-32 behind it is always 0x2144DF1C: the
register ends at 0xDEBB20E3, and is complemented on output.
"""

import sys
from array import array

from protocol.compat import micropython, ptr8, ptr32, uint

if sys.implementation.name == "micropython":
    # binascii.crc32 takes no length: it would need a new memoryview for each frame.

    @micropython.viper
    def _make_table(table: ptr32):
        """Fills table [256]: what eight more bits do to the register, by its lowest eight bits."""
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
        if int(buf) & 3:  # Xtensa cannot load words from unaligned addresses
            words = int(buf)
        n = uint(0 - 1)  # from here on the CRC: parameters sit in the processor's registers
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

    # The loops are repeated here: calling them would take as long as 50 bytes do.
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
