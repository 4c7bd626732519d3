"""Viper kernels whose code does not depend on the model.

host/model/arithmetic.py specifies their results. All integers are 32 bits and wrap.

They are written for what mpy-cross makes of them. Pointers move with the loop, because a literal
index on a pointer in a register is one instruction. The hottest variables come first among the
parameters, because the first two locals are kept in registers. Loops end at an address instead of
counting, and -limit <= v <= limit is one unsigned comparison of v + limit: both save instructions.
An integer that is cast to a pointer where it is used does for a pointer in a register. Kernels
check nothing: callers give them buffers of the right size and never ask for zero positions.
"""

import micropython


@micropython.viper
def load_int16s(src: ptr8, v: int, at: int, out: ptr32, n: int):
    """Widens n little-endian int16 from byte `at` of src, of any alignment, to int32 out [n]."""
    src = ptr8(int(src) + at)
    v = int(out)
    at = v + ((n >> 2) << 4)
    while v < at:
        ptr32(v)[0] = src[1] << 24 >> 16 | src[0]
        ptr32(v)[1] = src[3] << 24 >> 16 | src[2]
        ptr32(v)[2] = src[5] << 24 >> 16 | src[4]
        ptr32(v)[3] = src[7] << 24 >> 16 | src[6]
        src = ptr8(int(src) + 8)
        v += 16
    n = n & 3
    while n:
        ptr32(v)[0] = src[1] << 24 >> 16 | src[0]
        src = ptr8(int(src) + 2)
        v += 4
        n -= 1


@micropython.viper
def store_int16s(src: ptr32, v: int, at: int, out: ptr8, n: int):
    """Writes int32 src [n] as little-endian int16 from byte `at` of out, of any alignment."""
    v = int(out) + at
    at = int(src) + (n << 2)
    if n & 1:
        ptr8(v)[0] = src[0]
        ptr8(v)[1] = src[0] >> 8
        src = ptr32(int(src) + 4)
        v += 2
    while int(src) < at:
        ptr8(v)[0] = src[0]
        ptr8(v)[1] = src[0] >> 8
        ptr8(v)[2] = src[1]
        ptr8(v)[3] = src[1] >> 8
        src = ptr32(int(src) + 8)
        v += 4


@micropython.viper
def rescale(x: ptr32, v: int, multiplier: ptr16, at: int, parts: ptr32, count: int):
    """Replaces accumulators x by x * multiplier / 2**shift, rounded half up and clamped to limit.

    parts [count, 3]: the number of elements, shift and limit of each part of x in turn.
    multiplier: u16, from byte `at` on; 16 <= shift <= 45. The 47-bit product is split: see
    arithmetic.rescale.
    """
    multiplier = ptr16(int(multiplier) + at)
    while count:
        shift = parts[1] - 15
        half = 1 << shift >> 1
        limit = parts[2]
        span = uint(limit << 1)
        at = int(x) + (parts[0] << 2)
        while int(x) < at:
            v = multiplier[0]
            v = (x[0] >> 15) * v + ((x[0] & 32767) * v >> 15) + half >> shift
            if uint(v + limit) > span:
                v = limit if v > 0 else 0 - limit
            x[0] = v
            x = ptr32(int(x) + 4)
            multiplier = ptr16(int(multiplier) + 2)
        parts = ptr32(int(parts) + 12)
        count -= 1


@micropython.viper
def rope_row(table: ptr16, v: int, position: int, row: ptr32, pairs: int):
    """Computes row [pairs, 2]: cosine and sine at `position`, in units of 2**-14.

    table: u16 [32 + n, pairs, 2], those of positions 0 to 31, then of every 32nd, each plus 2**14.
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
def rotate(x: ptr32, v: int, table: ptr32, pairs: int, parts: ptr32, count: int):
    """Applies the rotary embedding to x in place, with the cosines and sines of table [pairs, 2].

    parts [count, 3]: as for rescale; each part has whole heads of 2 * pairs elements.
    """
    begin = int(table)
    end = begin + (pairs << 3)
    while count:
        limit = parts[2]
        span = uint(limit << 1)
        stop = int(x) + (parts[0] << 2)
        while int(x) < stop:
            table = ptr32(begin)
            while int(table) < end:
                v = table[0]
                w = table[1]
                a = x[0] * v - x[1] * w + 8192 >> 14
                v = x[0] * w + x[1] * v + 8192 >> 14
                if uint(a + limit) > span:
                    a = limit if a > 0 else 0 - limit
                if uint(v + limit) > span:
                    v = limit if v > 0 else 0 - limit
                x[0] = a
                x[1] = v
                x = ptr32(int(x) + 8)
                table = ptr32(int(table) + 8)
        parts = ptr32(int(parts) + 12)
        count -= 1


@micropython.viper
def cache_rows(
    x: ptr32,
    cache: ptr16,
    values: ptr16,
    row: int,
    heads: int,
    head_dim: int,
    context: int,
    zero: int,
):
    """Writes x [2, heads, head_dim], keys and values, to row `row` of each head of their caches,
    u16 [heads, context, head_dim]: keys plus `zero`, values plus 2**15."""
    others = (context - 1) * head_dim << 1
    row = row * head_dim << 1
    cache = ptr16(int(cache) + row)
    left = heads << 1
    while left:
        if left == heads:
            cache = ptr16(int(values) + row)
            zero = 32768
        end = int(x) + (head_dim << 2)
        while int(x) < end:
            cache[0] = x[0] + zero
            cache[1] = x[1] + zero
            x = ptr32(int(x) + 8)
            cache = ptr16(int(cache) + 4)
        cache = ptr16(int(cache) + others)
        left -= 1


@micropython.viper
def gate(
    g: ptr32, v: int, up: ptr32, table: ptr16, n: int, index_shift: int, shift: int, limit: int
):
    """Replaces g [n] by SiLU(g) * up [n] / 2**shift, rounded half up and clamped to limit.

    table [1024]: the sigmoid of (i - 512) / 64 in units of 2**-15.
    """
    span = uint(limit << 1)
    if index_shift > 17:  # with 17, all gates of 16 bits have index 0 already
        index_shift = 17
    middle = (1 << index_shift >> 1) + (512 << index_shift)
    half = 1 << shift >> 1
    end = int(g) + (n << 2)
    while int(g) < end:
        v = g[0] + middle >> index_shift
        if v >> 10:
            v = 0 if v < 0 else 1023
        v = (g[0] * table[v] + 16384 >> 15) * up[0] + half >> shift
        if uint(v + limit) > span:
            v = limit if v > 0 else 0 - limit
        g[0] = v
        g = ptr32(int(g) + 4)
        up = ptr32(int(up) + 4)
