"""The layout of a shard whose matrices stay in a flash partition: how it differs from
protocol/shard_layout.py.

Its header has one more number, `block`: the bytes that a chip reads at once. What the chip loads
into its heap comes first, in the same order: the tables; for each layer its multipliers, padded to
a multiple of `columns` bytes, PLACE_SIZE bytes, and its norms*; the last norm*; the vocabulary's
multipliers, padded, and PLACE_SIZE bytes. Then, from a multiple of VECTORS bytes on, all matrices
follow in the order in which they are used, and last the SHA-256.

The PLACE_SIZE bytes are a u32: the offset in the file at which the layer, or the vocabulary, would
begin if its matrices followed its multipliers. A matrix begins at a multiple of 4 bytes, or of
`columns`. With VECTORS, and where a matrix is in groups, each block of `rows_in_block` rows is
stored as a matrix by itself. Multipliers are padded to a multiple of VECTORS bytes if the shard
has matrices in groups.
"""

from protocol.compat import const
from protocol.shard_layout import PAIRS, VECTORS

PLACE_SIZE = const(4)
MOST_ROWS = const(256)  # in a block


def rows_in_block(columns, padding, block):
    """Returns how many rows of so many columns, negative of those in groups, a block of `block`
    bytes holds, 0 if it is too small for any; padding: the header's `columns`."""
    row = columns + -columns % padding
    if columns < 0:
        row, padding = columns * 9 // -16, VECTORS
        block &= -VECTORS
    elif padding == VECTORS:
        row += 4
        block &= -VECTORS
    rows = min(block // row, MOST_ROWS)
    return rows & ~1 if padding == PAIRS else rows


def rows_bytes(rows, columns, padding):
    """Returns the bytes of a matrix [rows, columns] that is stored in one piece."""
    if columns < 0:  # in groups of 32, of 18 bytes each
        size = rows * columns * 9 // -16
        return size + -size % VECTORS
    size = rows * (columns + -columns % padding)
    if padding == VECTORS:
        size += 4 * rows
    return size + -size % padding


def matrix_bytes(rows, columns, padding, block):
    """Returns the bytes that a matrix takes in the partition, divided into blocks."""
    if not columns:
        return 0
    if padding != VECTORS and columns > 0:  # rows are stored the same, however many a block holds
        size = rows_bytes(rows, columns, padding)
        return size + -size % 4
    at_once = rows_in_block(columns, padding, block)
    size = rows // at_once * rows_bytes(at_once, columns, padding)
    return size + rows_bytes(rows % at_once, columns, padding)


def spread(layers):
    """Returns the numbers of so many layers in an order of which any first part is spread over all
    of them."""
    step = layers * 5 // 8 or 1
    while any([step % n == 0 and layers % n == 0 for n in range(2, step + 1)]):
        step += 1
    return [i * step % layers for i in range(layers)]
