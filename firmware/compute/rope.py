"""Computes the rope table on the chip, so that it need not be in the shard file."""

from firmware.compute.shard_sizes import rope_rows
from protocol.fields import put_u16
from protocol.shard_layout import ROPE_STRIDE


def rope_table(layout, steps):
    """Returns the table, u16 [rows, head_dim / 2, 2]: cosine and sine in units of 2**-14, + 2**14.

    steps: [cosine, sine] of each pair's rotation by one position, in units of 2**-30. All in
    integers, as in host/model/arithmetic.py, so that every chip's table is the same.
    """
    pairs, context = len(steps), layout["context"]
    table = bytearray(4 * rope_rows(layout) * pairs)
    for pair in range(pairs):
        step, row = steps[pair], pair
        for count, stop in ((1, ROPE_STRIDE), (ROPE_STRIDE, context)):
            cosine, sine = 1 << 30, 0
            for _ in range(0, stop, count):
                _put_entry(table, row, cosine, sine)
                row += pairs
                cosine, sine = rotate(cosine, sine, step, count)
    return table


def rotate(cosine, sine, step, count):
    """Returns cosine and sine after `count` rotations by step, all in units of 2**-30.

    A rotation of (c, s) by (a, b) is (c * a - s * b + 2**29 >> 30, c * b + s * a + 2**29 >> 30).
    Its products of 60 bits are made of numbers' upper and lower halves, of 15 bits, and of 14 with
    a sign, since MicroPython allocates memory for integers of more than 31 bits, and is slow.
    """
    a, b = step
    ah = a + 16384 >> 15
    bh = b + 16384 >> 15
    a -= ah << 15
    b -= bh << 15
    c, s = cosine, sine
    while count:
        ch = c + 16384 >> 15
        sh = s + 16384 >> 15
        c -= ch << 15
        s -= sh << 15
        low = ch * a + c * ah - sh * b - s * bh + (c * a - s * b + 536870912 >> 15) >> 15
        s = ch * b + c * bh + sh * a + s * ah + (c * b + s * a + 536870912 >> 15) >> 15
        s += ch * bh + sh * ah
        c = ch * ah - sh * bh + low
        count -= 1
    return c, s


def _put_entry(table, index, cosine, sine):
    put_u16(table, 4 * index, (cosine + 32768 >> 16) + 16384)
    put_u16(table, 4 * index + 2, (sine + 32768 >> 16) + 16384)
