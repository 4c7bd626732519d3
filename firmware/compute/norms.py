"""Viper kernels for a chip that keeps the residual stream itself.

Written in the same style as firmware/compute/kernels.py; host/model/arithmetic.py specifies their
results.
"""

import micropython

from protocol.compat import const

_RESIDUAL_LIMIT = const(0xFFFFFF)  # arithmetic.RESIDUAL_LIMIT


@micropython.viper
def norm(
    residual: ptr32, v: int, gain: ptr16, at: int, x: ptr32, n: int, shift: int, epsilon: int,
    limit: int,
):  # fmt: skip
    """Computes x [n], the RMSNorm of residual [n] times its gain, within limit (rms_normalize of
    arithmetic.py). gain: u16 from byte `at` on, multiplier + 2**15; 15 <= shift <= 29;
    epsilon < 2**30."""
    begin = int(residual)
    end = (n << 2) + begin
    bits = 0
    while int(residual) != end:
        v = residual[0]
        bits = (0 - v if v < 0 else v) | bits  # has as many bits as the largest of them
        residual = ptr32(int(residual) + 4)
    down = 0  # the shift that brings the residual to 15 bits
    while bits >> down > 32767:
        down += 1
    log_n = 0
    while 1 << log_n < n:
        log_n += 1
    half = 1 << down >> 1
    total = epsilon >> (down << 1) + log_n
    residual = ptr32(begin)
    begin = int(x)
    while int(residual) != end:
        v = residual[0] + half >> down
        v = 32767 if v > 32767 else v  # rounding up may reach 2**15
        x[0] = v
        total = (v * v >> log_n) + total
        residual = ptr32(int(residual) + 4)
        x = ptr32(int(x) + 4)
    total = 1 if total < 1 else total
    if total >> 30:  # bring it to [2**28, 2**30); `shift` makes up for that in the root
        total = total >> 2
        shift += 1
    while total < 0x10000000:
        total = total << 2
        shift -= 1
    root = 0x4000  # it has 15 bits, and the highest is set
    bit = 0x2000
    while bit:
        v = root + bit
        if v * v <= total:
            root = v
        bit = bit >> 1
    inverse = 0x20000000 // root
    half = 1 << shift >> 1
    span = uint(limit << 1)
    residual = ptr32(begin)  # from here on x: this variable is kept in a register
    gain = ptr16(int(gain) + at)
    end = int(x)
    while int(residual) != end:
        v = residual[0] * inverse + 16384 >> 15
        v = v * (gain[0] - 32768) + half >> shift
        if uint(v + limit) > span:
            v = limit if v > 0 else 0 - limit
        residual[0] = v
        residual = ptr32(int(residual) + 4)
        gain = ptr16(int(gain) + 2)


@micropython.viper
def add_rescaled(
    residual: ptr32, v: int, acc: ptr32, multiplier: ptr16, at: int, n: int, shift: int
):
    """Adds acc [n] * multiplier [n] / 2**shift, rounded half up, to residual [n]; 24 bits and
    sign.

    |acc| <= 2**30; multiplier: u16 from byte `at` on; 16 <= shift <= 45. See
    arithmetic.add_residual, and arithmetic.rescale for how the product is split.
    """
    multiplier = ptr16(int(multiplier) + at)
    shift -= 15
    half = 1 << shift >> 1
    limit = _RESIDUAL_LIMIT
    low = 0 - limit
    end = (n << 2) + int(residual)
    while int(residual) != end:
        v = acc[0]
        v = (v >> 15) * multiplier[0] + ((v & 32767) * multiplier[0] >> 15) + half >> shift
        v = residual[0] + v
        if v > limit:
            v = limit
        if v < low:
            v = low
        residual[0] = v
        residual = ptr32(int(residual) + 4)
        acc = ptr32(int(acc) + 4)
        multiplier = ptr16(int(multiplier) + 2)


@micropython.viper
def best(logits: ptr32, n: int) -> int:
    """Returns the index of the largest of logits [n], n > 0; of equal ones the lowest."""
    largest = logits[0]
    left = n
    found = n
    while left:
        if logits[0] > largest:
            largest = logits[0]
            found = left
        logits = ptr32(int(logits) + 4)
        left -= 1
    return n - found
