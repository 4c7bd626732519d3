"""Bit packing with indices, for CPython. protocol/bitpack.py describes the format.

protocol/bitpack_pointers.py is its twin for MicroPython.
"""


def bits_needed(values, count):
    """Returns the width, 1 to 32, of the narrowest field that holds each of values [count]."""
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
    """Packs int32 values [count] into fields of `bits` bits from out[at] on.

    Returns the number of bytes written. Values that do not fit lose their upper bits: call
    bits_needed first.
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
