"""Frames on a byte stream (UART, USB): COBS, each frame ended by 0x00.

Consistent Overhead Byte Stuffing (Cheshire and Baker, IEEE/ACM Transactions on Networking,
1999) replaces every 0x00 by the distance to the next, at a cost of one byte in 254. So 0x00
occurs only between frames, and a reader that has lost its place resynchronizes at the next 0x00.
"""

import sys

if sys.implementation.name == "micropython":
    from protocol.cobs_pointers import decode, encode  # noqa: F401
else:
    from protocol.cobs_plain import decode, encode  # noqa: F401


def encoded_size(n):
    """Returns the most bytes that a frame of n bytes takes on the stream, its 0x00 included."""
    return n + n // 254 + 2
