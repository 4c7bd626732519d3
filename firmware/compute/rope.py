"""The rope table, which a chip makes by itself."""

from firmware.compute.shard_sizes import rope_rows
from protocol.fields import put_u16
from protocol.shard_layout import ROPE_STRIDE


def rope_table(layout, steps):
    """u16 [rows, head_dim / 2, 2]: cosine and sine in units of 2**-14, plus 2**14.

    Whole-number arithmetic, as host/model/arithmetic.py has it, so that every chip's is the same.
    """
    pairs = len(steps)
    table = bytearray(4 * rope_rows(layout) * pairs)
    for pair in range(pairs):
        cosine, sine = 1 << 30, 0
        for position in range(max(layout["context"], ROPE_STRIDE)):
            if position < ROPE_STRIDE:
                _put_entry(table, position * pairs + pair, cosine, sine)
            if position % ROPE_STRIDE == 0:
                row = ROPE_STRIDE + position // ROPE_STRIDE
                _put_entry(table, row * pairs + pair, cosine, sine)
            cosine, sine = rotate(cosine, sine, steps[pair])
    return table


def rotate(cosine, sine, step):
    half = 1 << 29
    return (
        cosine * step[0] - sine * step[1] + half >> 30,
        cosine * step[1] + sine * step[0] + half >> 30,
    )


def _put_entry(table, index, cosine, sine):
    put_u16(table, 4 * index, (cosine + 32768 >> 16) + 16384)
    put_u16(table, 4 * index + 2, (sine + 32768 >> 16) + 16384)
