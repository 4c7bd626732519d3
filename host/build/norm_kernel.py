"""Generates the viper kernel `rotate` for models that normalize each head's query and key.

It replaces that of firmware/compute/kernels.py in a chip's module of kernels, with the same
arguments, and does what rms_normalize and rotate of host/model/arithmetic.py do, one head after
another. The numbers of the norms follow the scales of `rescale`.
"""

from __future__ import annotations

_NORM_ROTATE = '''
@micropython.viper
def rotate(x: ptr32, v: int, table: ptr32, pairs: int, parts: ptr32, count: int):
    """RMSNorm and rotary embedding in place of each head of x, {size} elements.

    table [{pairs}, 2]: cosines and sines. parts [3, 3]: as rescale's, of q, k and v; and then of q
    and of k: the shift, epsilon and limit of its norm, and multipliers [{size}].
    """
    norm = ptr32(int(parts) + 36)
    begin = int(table)
    while count:
        limit = norm[2]
        span = uint(limit << 1)
        stop = int(x) + (parts[0] << 2)
        while int(x) < stop:
            head = int(x)
            end = head + {bytes}
            bits = 0
            while int(x) != end:
                v = x[0]
                bits = (0 - v if v < 0 else v) | bits  # as long as the largest of them
                x = ptr32(int(x) + 4)
            down = 0
            while bits >> down > 32767:
                down += 1
            half = 1 << down >> 1
            total = norm[1] >> (down << 1) + {log_size}
            x = ptr32(head)
            while int(x) != end:
                v = x[0] + half >> down
                v = 32767 if v > 32767 else v
                x[0] = v
                total = (v * v >> {log_size}) + total
                x = ptr32(int(x) + 4)
            total = 1 if total < 1 else total
            shift = norm[0]
            if total >> 30:
                total = total >> 2
                shift += 1
            while total < 0x10000000:
                total = total << 2
                shift -= 1
            root = 0x4000
            bit = 0x2000
            while bit:
                v = root + bit
                if v * v <= total:
                    root = v
                bit = bit >> 1
            inverse = 0x20000000 // root
            half = 1 << shift >> 1
            x = ptr32(head)
            gain = ptr32(int(norm) + 12)
            while int(x) != end:
                v = x[0] * inverse + 16384 >> 15
                v = v * gain[0] + half >> shift
                if uint(v + limit) > span:
                    v = limit if v > 0 else 0 - limit
                x[0] = v
                x = ptr32(int(x) + 4)
                gain = ptr32(int(gain) + 4)
            x = ptr32(head)
            table = ptr32(begin)
            while int(x) != end:
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
        norm = ptr32(int(norm) + {norm_bytes})
        parts = ptr32(int(parts) + 12)
        count -= 1
'''


def norm_kernel(head_dim: int) -> str:
    """Returns the kernel for heads of `head_dim` elements."""
    return _NORM_ROTATE.format(
        size=head_dim,
        pairs=head_dim // 2,
        bytes=4 * head_dim,
        log_size=(head_dim - 1).bit_length(),
        norm_bytes=12 + 4 * head_dim,
    )
