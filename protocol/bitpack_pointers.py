"""Bit packing with pointers that move, for MicroPython: what protocol/bitpack.py says, in fewer
turns. A field of 16 to 24 bits, as most partial sums are, goes through one 32-bit word.
"""

from protocol.compat import micropython, ptr8, ptr32


@micropython.viper
def bits_needed(values: ptr32, widest: int) -> int:
    """As that of protocol/bitpack_plain.py, whose `count` comes in `widest`, for parameters are
    in the processor's registers."""
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
    """As that of protocol/bitpack_plain.py, whose `at` comes in `held`."""
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


@micropython.viper
def unpack(packed: ptr8, value: int, values: ptr32, count: int, bits: int) -> int:
    """As that of protocol/bitpack_plain.py, whose `at` comes in `value`."""
    packed = ptr8(int(packed) + value)
    begin = int(packed)
    used = 0
    end = int(values) + (count << 2)
    while int(values) < end:
        got = 0
        value = 0
        take = 8 - used
        while got + take < bits:
            value = packed[0] >> used << got | value
            got += take
            packed = ptr8(int(packed) + 1)
            used = 0
            take = 8
        # As in bitpack_plain.py, the last piece has the sign.
        take = bits - got
        piece = (1 << take) - 1 & packed[0] >> used
        if piece >> take - 1:
            piece = piece - (1 << take)
        values[0] = piece << got | value
        values = ptr32(int(values) + 4)
        used += take
        if used == 8:
            used = 0
            packed = ptr8(int(packed) + 1)
    if used:
        return int(packed) + 1 - begin
    return int(packed) - begin


@micropython.viper
def add_unpacked(packed: ptr8, value: int, values: ptr32, first: int, count: int, bits: int):
    """As that of protocol/bitpack_plain.py, whose `at` comes in `value`."""
    packed = ptr8(int(packed) + value)
    values = ptr32(int(values) + (first << 2))
    end = int(values) + (count << 2)
    used = 0
    if bits >= 16 and bits <= 24:
        mask = (1 << bits) - 1
        sign = 1 << bits - 1
        while int(values) < end:
            value = packed[1] << 8 | packed[0]
            if used + bits > 16:
                value = packed[2] << 16 | value
            if used + bits > 24:
                value = packed[3] << 24 | value
            values[0] = (value >> used & mask ^ sign) - sign + values[0]
            values = ptr32(int(values) + 4)
            used += bits
            packed = ptr8((used >> 3) + int(packed))
            used = used & 7
    while int(values) < end:
        got = 0
        value = 0
        take = 8 - used
        while got + take < bits:
            value = packed[0] >> used << got | value
            got += take
            packed = ptr8(int(packed) + 1)
            used = 0
            take = 8
        take = bits - got
        piece = (1 << take) - 1 & packed[0] >> used
        if piece >> take - 1:
            piece = piece - (1 << take)
        values[0] = values[0] + (piece << got | value)
        values = ptr32(int(values) + 4)
        used += take
        if used == 8:
            used = 0
            packed = ptr8(int(packed) + 1)
