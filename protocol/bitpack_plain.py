"""Bit packing as protocol/bitpack.py says, where indices alone are at hand: on CPython.

protocol/bitpack_pointers.py is the same for MicroPython.
"""


def bits_needed(values, count):
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


def pack(out, at, values, count, bits):
    """Writes `count` int32 values as fields of `bits` bits from out[at] on; bytes written.

    Values that do not fit into `bits` bits lose their upper ones: ask bits_needed first.
    """
    begin = at
    held = 0
    fill = 0
    i = 0
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
