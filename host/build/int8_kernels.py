"""Source of the viper kernels of models whose KV caches hold int8.

They take the places of `cache_rows` and `attend` in a chip's module of kernels, with the same
arguments, and do what host/model/arithmetic.py's narrow_rows says: a cache has u8 [rows,
head_dim], number + 128, and behind these the shift of each row. In attend's `rows`, behind those
at which heads begin, is the number of all rows.
"""

from __future__ import annotations

from host.build.wide_attention_kernel import wide_attention_kernel

_CACHE_ROWS = '''
@micropython.viper
def cache_rows_int8(
    x: ptr32, cache: ptr8, values: ptr8, row: int, heads: int, head_dim: int, context: int,
    zero: int,
):
    """Writes x [2, heads, head_dim], keys and values, to row `row` of each head of their
    caches, whose other rows do not change."""
    left = heads << 1
    shifts = int(cache) + heads * context * head_dim + row
    at = int(cache) + row * head_dim
    while left:
        if left == heads:
            shifts = int(values) + heads * context * head_dim + row
            at = int(values) + row * head_dim
        end = int(x) + (head_dim << 2)
        zero = int(x)
        bits = 0
        while zero < end:
            v = ptr32(zero)[0]
            bits = (0 - v if v < 0 else v) | bits  # as long as the largest of them
            zero += 4
        shift = 0
        while bits >> shift > 127:
            shift += 1
        ptr8(shifts)[0] = shift
        half = (1 << shift >> 1) + (128 << shift)
        zero = at
        while int(x) < end:
            v = x[0] + half >> shift
            ptr8(zero)[0] = 255 if v > 255 else v  # rounding up may reach 128
            x = ptr32(int(x) + 4)
            zero += 1
        at += context * head_dim
        shifts += context
        left -= 1
'''

_NAMES = """
attend = attend_int8
cache_rows = cache_rows_int8
"""


def int8_kernels(head_dim: int) -> str:
    """Returns the kernels for heads of `head_dim` elements."""
    return "\n".join((_CACHE_ROWS, wide_attention_kernel(head_dim, is_int8=True), _NAMES))
