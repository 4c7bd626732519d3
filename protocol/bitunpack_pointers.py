"""Unpacking of bits with moving pointers, for MicroPython: protocol/bitunpack_plain.py in fewer
loop turns. A field of 16 to 24 bits, as most partial sums are, is read as bytes of one word.
"""

from protocol.compat import micropython, ptr8, ptr32


@micropython.viper
def unpack(packed: ptr8, value: int, values: ptr32, count: int, bits: int) -> int:
    """Does what unpack of protocol/bitunpack_plain.py does; `value` brings its `at`."""
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
        # As in bitunpack_plain.py, the last piece has the sign.
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
    """Does what add_unpacked of protocol/bitunpack_plain.py does; `value` brings its `at`."""
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
