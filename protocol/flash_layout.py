"""The layout of a shard whose matrices stay in a flash partition, where it differs from
protocol/shard_layout.py's.

Its header has one number more, `block`: bytes that a chip reads at once. What goes into the heap
comes first, in the same order: tables; of each layer its multipliers, filled up to a multiple of
`columns` bytes, and PLACE_SIZE bytes, then its norms*; the last norm*; the vocabulary's
multipliers, filled up, and PLACE_SIZE bytes. Then, from a multiple of VECTORS bytes on, all
matrices follow in the order in which they are used, and the SHA-256.

The PLACE_SIZE bytes are u32: where in the file a layer, or the vocabulary, would begin if its
matrices lay behind its multipliers. A matrix begins at a multiple of 4 bytes, or of `columns`.
With VECTORS, as many rows as `rows_in_block` says are stored as a matrix by themselves.
"""

from protocol.compat import const
from protocol.shard_layout import PAIRS, VECTORS

PLACE_SIZE = const(4)
MOST_ROWS = const(256)  # that are read at once


def rows_in_block(columns, padding, block):
    """How many rows of so many columns are read at once into `block` bytes, 0 where they are too
    few; padding: the header's `columns`."""
    row = columns + -columns % padding
    if padding == VECTORS:
        row += 4
        block &= -VECTORS
    rows = min(block // row, MOST_ROWS)
    return rows & ~1 if padding == PAIRS else rows


def rows_bytes(rows, columns, padding):
    """Bytes of so many rows that are stored as a matrix by themselves."""
    size = rows * (columns + -columns % padding)
    if padding == VECTORS:
        size += 4 * rows
    return size + -size % padding


def matrix_bytes(rows, columns, padding, block):
    """Bytes that a matrix takes in the partition."""
    if not columns:
        return 0
    if padding != VECTORS:  # in which rows are stored the same, however many are read at once
        size = rows_bytes(rows, columns, padding)
        return size + -size % 4
    at_once = rows_in_block(columns, padding, block)
    size = rows // at_once * rows_bytes(at_once, columns, padding)
    return size + rows_bytes(rows % at_once, columns, padding)
