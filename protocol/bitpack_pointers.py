"""Bit packing with moving pointers, for MicroPython: protocol/bitpack_plain.py in fewer turns.

A field of 16 to 24 bits, as most partial sums are, passes through one 32-bit word.
"""

from protocol.compat import micropython, ptr8, ptr32


@micropython.viper
def bits_needed(values: ptr32, widest: int) -> int:
    """Does what bits_needed of protocol/bitpack_plain.py does. `widest` brings the count:
    parameters sit in the processor's registers, so they serve as the loop's variables too."""
    end = int(values) + (widest << 2)
    widest = 0
    while int(values) < end:
        widest = values[0] >> 31 ^ values[0] | widest
        values = ptr32(int(values) + 4)
    bits = 1
    while widest:
        widest = widest >> 1
        bits += 1
    return bits


@micropython.viper
def pack(out: ptr8, held: int, values: ptr32, count: int, bits: int) -> int:
    """Does what pack of protocol/bitpack_plain.py does; `held` brings its `at`."""
    out = ptr8(int(out) + held)
    begin = int(out)
    held = 0
    fill = 0
    end = int(values) + (count << 2)
    if bits >= 16 and bits <= 24:
        mask = (1 << bits) - 1
        bits -= 16
        while int(values) < end:
            held = (values[0] & mask) << fill | held
            values = ptr32(int(values) + 4)
            out[0] = held
            out[1] = held >> 8
            held = held >> 16
            fill += bits
            if fill < 8:
                out = ptr8(int(out) + 2)
            else:
                out[2] = held
                out = ptr8(int(out) + 3)
                held = held >> 8
                fill -= 8
    while int(values) < end:
        value = values[0]
        values = ptr32(int(values) + 4)
        held = value << fill & 255 | held
        left = bits + fill - 8
        if left < 0:
            fill = bits + fill
            held = (1 << fill) - 1 & held
        else:
            out[0] = held
            out = ptr8(int(out) + 1)
            value = value >> 8 - fill
            while left >= 8:
                out[0] = value
                out = ptr8(int(out) + 1)
                value = value >> 8
                left -= 8
            held = (1 << left) - 1 & value
            fill = left
    if fill:
        out[0] = held
        return int(out) + 1 - begin
    return int(out) - begin
