"""The CRC-32 that tags the fragments of a message. That of version 2 frames is in
protocol/frame_check.py."""

from binascii import crc32 as _crc32


def crc32(buf, n):
    """Returns the CRC-32 (ISO-HDLC, as zlib's) of buf[:n], 0 to 2**32 - 1."""
    return _crc32(memoryview(buf)[:n]) & 0xFFFFFFFF
