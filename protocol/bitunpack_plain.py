"""Unpacking of bits with indices, for CPython. protocol/bitpack.py describes the format.

protocol/bitunpack_pointers.py is its twin for MicroPython.
"""


def unpack(packed, at, values, count, bits):
    """Unpacks fields of `bits` bits from packed[at] on into int32 values [count].

    Returns the number of bytes read.
    """
    begin = at
    used = 0
    i = 0
    while i < count:
        got = 0
        value = 0
        take = 8 - used
        while got + take < bits:
            value = packed[at] >> used << got | value
            got += take
            at += 1
            used = 0
            take = 8
        # The last piece has the sign. It is at most 8 bits wide, so that shifting it into
        # place stays within 32 bits.
        take = bits - got
        piece = (1 << take) - 1 & packed[at] >> used
        if piece >> take - 1:
            piece = piece - (1 << take)
        values[i] = piece << got | value
        used += take
        if used == 8:
            used = 0
            at += 1
        i += 1
    if used:
        at += 1
    return at - begin


def add_unpacked(packed, at, values, first, count, bits):
    """Adds fields of `bits` bits from packed[at] on to values[first : first + count].

    The sums must fit into 32 bits.
    """
    used = 0
    while count:
        got = 0
        value = 0
        take = 8 - used
        while got + take < bits:
            value = packed[at] >> used << got | value
            got += take
            at += 1
            used = 0
            take = 8
        # As in `unpack`, the last piece has the sign.
        take = bits - got
        piece = (1 << take) - 1 & packed[at] >> used
        if piece >> take - 1:
            piece = piece - (1 << take)
        values[first] = values[first] + (piece << got | value)
        first += 1
        used += take
        if used == 8:
            used = 0
            at += 1
        count -= 1
