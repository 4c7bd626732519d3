"""Checks the header of a frame of version 3, which a MAC covers: for chips with a key.

On these it replaces protocol/frame_check.py, under the same names, without the tables and loops of
the CRC-32, which their frames do not have: that saves 1 KB of heap and as much machine code.
"""

from protocol.compat import micropython, ptr8

put_crc32 = None  # never called where frames are signed


@micropython.viper
def check_frame(buf: ptr8, n: int) -> int:
    """Returns the payload length of the n-byte frame, or a negated fault of its header.

    Version 2 is a fault.
    """
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
