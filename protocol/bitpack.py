"""Packs signed integers without loss, all with as few bits as the largest of them needs.

The packed form is a stream of two's complement fields of equal width, lowest bit first, which
fill each byte from its lowest bit up; zero bits fill the last byte. The partial sum of a row of
64 weights takes 27 bits at worst, and within real text no more than 24.
"""

import sys

if sys.implementation.name == "micropython":
    from protocol.bitpack_pointers import bits_needed, pack  # noqa: F401
else:
    from protocol.bitpack_plain import bits_needed, pack  # noqa: F401


def packed_size(count, bits):
    """Returns how many bytes `count` fields of `bits` bits take."""
    return (count * bits + 7) // 8
