"""Viper kernels whose code does not depend on the model.

host/model/arithmetic.py states their values. All integers are 32 bits and wrap. Pointers move
with the loop, because a literal index on a register pointer is one instruction; the hottest
variables come first among the parameters, because mpy-cross keeps the first two locals in
registers. Kernels check nothing: callers hold buffers of the right size and never ask for zero
positions.
"""

import micropython


@micropython.viper
def load_int16s(src: ptr8, v: int, at: int, out: ptr32, n: int):
    """n little-endian int16 from byte `at` of src, of any alignment, widened to out [n]."""
    src = ptr8(int(src) + at)
    while n:
        v = src[1] << 8 | src[0]
        out[0] = (v ^ 0x8000) - 0x8000
        src = ptr8(int(src) + 2)
        out = ptr32(int(out) + 4)
        n -= 1


@micropython.viper
def store_int16s(src: ptr32, v: int, at: int, out: ptr8, n: int):
    """src [n] as little-endian int16 from byte `at` of out, of any alignment."""
    out = ptr8(int(out) + at)
    while n:
        v = src[0]
        out[0] = v
        out[1] = v >> 8
        src = ptr32(int(src) + 4)
        out = ptr8(int(out) + 2)
        n -= 1


@micropython.viper
def rescale(x: ptr32, v: int, multiplier: ptr16, at: int, n: int, shift: int, limit: int):
    """Accumulators x [n] * multiplier [n] / 2**shift in place, half-up, within limit.

    multiplier: u16 from byte `at` on; 16 <= shift <= 45. The 47-bit product is split: see
    arithmetic.rescaled.
    """
    multiplier = ptr16(int(multiplier) + at)
    shift -= 15
    half = 1 << shift >> 1
    low = 0 - limit
    while n:
        v = x[0]
        v = (v >> 15) * multiplier[0] + ((v & 32767) * multiplier[0] >> 15) + half >> shift
        if v > limit:
            v = limit
        if v < low:
            v = low
        x[0] = v
        x = ptr32(int(x) + 4)
        multiplier = ptr16(int(multiplier) + 2)
        n -= 1


@micropython.viper
def rope_row(table: ptr16, v: int, position: int, row: ptr32, pairs: int):
    """row [pairs, 2]: cosine and sine at `position` in units of 2**-14.

    table u16 [32 + n, pairs, 2]: those of positions 0..31, then of each 32nd, plus 2**14.
    """
    far = ptr16(int(table) + ((position >> 5) + 32) * (pairs << 2))
    table = ptr16(int(table) + (position & 31) * (pairs << 2))
    while pairs:
        cosine = table[0] - 16384
        sine = table[1] - 16384
        v = far[0] - 16384
        w = far[1] - 16384
        row[0] = cosine * v - sine * w + 8192 >> 14
        row[1] = cosine * w + sine * v + 8192 >> 14
        table = ptr16(int(table) + 4)
        far = ptr16(int(far) + 4)
        row = ptr32(int(row) + 8)
        pairs -= 1


@micropython.viper
def rotate(x: ptr32, v: int, table: ptr32, pairs: int, heads: int, limit: int):
    """Rotary embedding in place of x [heads, 2 * pairs] by cosines and sines table [pairs, 2]."""
    low = 0 - limit
    begin = int(table)
    while heads:
        table = ptr32(begin)
        n = pairs
        while n:
            cosine = table[0]
            sine = table[1]
            v = x[0] * cosine - x[1] * sine + 8192 >> 14
            w = x[0] * sine + x[1] * cosine + 8192 >> 14
            if v > limit:
                v = limit
            if v < low:
                v = low
            if w > limit:
                w = limit
            if w < low:
                w = low
            x[0] = v
            x[1] = w
            x = ptr32(int(x) + 8)
            table = ptr32(int(table) + 8)
            n -= 1
        heads -= 1


@micropython.viper
def cache_row(x: ptr32, cache: ptr16, row: int, head_dim: int):
    """Writes x [head_dim] as row `row` of a KV cache [positions, head_dim] of value + 2**15."""
    cache = ptr16(int(cache) + (row * head_dim << 1))
    while head_dim:
        cache[0] = x[0] + 32768
        x = ptr32(int(x) + 4)
        cache = ptr16(int(cache) + 2)
        head_dim -= 1


@micropython.viper
def exponentials(scores: ptr32, d: int, table: ptr16, largest: int, n: int, shift: int) -> int:
    """Replaces scores [n] by 2**((score - largest) / 2**(shift + 9)) * 2**15; their sum.

    table [512]: 2**(-i / 512) in units of 2**-15.
    """
    total = 0
    while n:
        d = largest - scores[0] >> shift
        if d < 8192:
            d = table[d & 511] >> (d >> 9)
            total += d
        else:
            d = 0
        scores[0] = d
        scores = ptr32(int(scores) + 4)
        n -= 1
    return total


@micropython.viper
def gate(
    g: ptr32, v: int, up: ptr32, table: ptr16, n: int, index_shift: int, shift: int, limit: int
):
    """SiLU(g [n]) * up [n] / 2**shift in place of g, half-up, within limit.

    table [1024]: the sigmoid of (i - 512) / 64 in units of 2**-15.
    """
    low = 0 - limit
    index_half = 1 << index_shift >> 1
    half = 1 << shift >> 1
    while n:
        v = g[0]
        i = (v + index_half >> index_shift) + 512
        if i < 0:
            i = 0
        if i > 1023:
            i = 1023
        v = (v * table[i] + 16384 >> 15) * up[0] + half >> shift
        if v > limit:
            v = limit
        if v < low:
            v = low
        g[0] = v
        g = ptr32(int(g) + 4)
        up = ptr32(int(up) + 4)
        n -= 1
