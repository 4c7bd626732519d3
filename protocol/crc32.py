"""The CRC-32 by which fragments of a message know each other. That of version 2 frames is in
protocol/frame_check.py."""

from binascii import crc32 as _crc32


def crc32(buf, n):
    """CRC-32 (ISO-HDLC, as zlib) of the first n bytes, 0 to 2**32 - 1."""
    return _crc32(memoryview(buf)[:n]) & 0xFFFFFFFF
