"""Checks the header of a frame of version 3, whose MAC covers all of it: on chips with a key.

It has the place and the names of protocol/frame_check.py there, without the tables and loops of a
CRC-32 that no frame of theirs has: 1 KB of heap, and as much of machine code.
"""

from protocol.compat import micropython, ptr8

put_crc32 = None  # which nothing calls where frames are signed


@micropython.viper
def check_frame(buf: ptr8, n: int) -> int:
    """The payload length of the n-byte frame whose header is sound, or a fault negated; version 2
    is one."""
    if n < 9:
        return -4
    if buf[0] != 3:
        return -1
    length = buf[6] | buf[7] << 8
    if length > 2048:
        return -3
    if n != length + 20:
        return -5
    if buf[2] == 255:
        return -2
    return length
