"""The byte sum of version 1 frames, and the CRC-32 by which fragments of a message know each
other. That of version 2 frames is in protocol/frame_check.py."""

from binascii import crc32 as _crc32

from protocol.compat import micropython, ptr8


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
