"""Signed integers packed without loss into as few bits each as the largest of them needs.

The packed form is a stream of two's complement fields of equal width, the lowest bit first,
from the lowest bit of each byte up, and zero bits to the end of the last byte. A partial sum
of a row of 64 weights takes 27 bits at worst, and those of real text stay within 24: for 16 to 24
bits the hot functions have a loop of their own, in which a field goes through one 32-bit word.
"""

from protocol.compat import micropython, ptr8, ptr32


def packed_size(count, bits):
    """The bytes that `count` fields of `bits` bits take."""
    return (count * bits + 7) // 8


@micropython.viper
def bits_needed(values: ptr32, count: int) -> int:
    """The width, 1 to 32, of the narrowest two's complement field that holds every value."""
    widest = 0
    while count:
        count -= 1
        value = values[count]
        widest = value >> 31 ^ value | widest
    bits = 1
    while widest:
        widest = widest >> 1
        bits += 1
    return bits


@micropython.viper
def pack(out: ptr8, at: int, values: ptr32, count: int, bits: int) -> int:
    """Writes `count` int32 values as fields of `bits` bits from out[at] on; bytes written.

    Values that do not fit into `bits` bits lose their upper ones: ask bits_needed first.
    """
    begin = at
    held = 0
    fill = 0
    i = 0
    if bits >= 16 and bits <= 24:
        mask = (1 << bits) - 1
        more = bits - 16
        while i < count:
            held = (values[i] & mask) << fill | held
            i += 1
            out[at] = held & 255
            out[at + 1] = held >> 8 & 255
            at += 2
            held = held >> 16
            fill = fill + more
            if fill >= 8:
                out[at] = held & 255
                at += 1
                held = held >> 8
                fill = fill - 8
    while i < count:
        value = values[i]
        i += 1
        held = value << fill & 255 | held
        left = bits + fill - 8
        if left < 0:
            fill = bits + fill
            held = (1 << fill) - 1 & held
        else:
            out[at] = held
            at += 1
            value = value >> 8 - fill
            while left >= 8:
                out[at] = value & 255
                at += 1
                value = value >> 8
                left -= 8
            held = (1 << left) - 1 & value
            fill = left
    if fill:
        out[at] = held
        at += 1
    return at - begin


@micropython.viper
def unpack(packed: ptr8, at: int, values: ptr32, count: int, bits: int) -> int:
    """Reads `count` fields of `bits` bits from packed[at] on into int32 values; bytes read."""
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


@micropython.viper
def add_unpacked(packed: ptr8, at: int, values: ptr32, first: int, count: int, bits: int):
    """Adds `count` fields of `bits` bits, from packed[at] on, to values[first] and on.

    The sums must fit 32 bits.
    """
    used = 0
    if bits >= 16 and bits <= 24:
        mask = (1 << bits) - 1
        sign = 1 << bits - 1
        end = first + count
        count = 0
        while first < end:
            value = packed[at] | packed[at + 1] << 8
            if used + bits > 16:
                value = packed[at + 2] << 16 | value
            if used + bits > 24:
                value = packed[at + 3] << 24 | value
            values[first] = (value >> used & mask ^ sign) - sign + values[first]
            first += 1
            used += bits
            at += used >> 3
            used = used & 7
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
