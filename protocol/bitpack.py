"""Signed integers packed without loss into as few bits each as the largest of them needs.

The packed form is a stream of two's complement fields of equal width, the lowest bit first,
from the lowest bit of each byte up, and zero bits to the end of the last byte. A partial sum
of a row of 64 weights takes 27 bits at worst, and those of real text stay within 24.
"""

import sys

if sys.implementation.name == "micropython":
    from protocol.bitpack_pointers import bits_needed, pack  # noqa: F401
else:
    from protocol.bitpack_plain import bits_needed, pack  # noqa: F401


def packed_size(count, bits):
    """The bytes that `count` fields of `bits` bits take."""
    return (count * bits + 7) // 8
