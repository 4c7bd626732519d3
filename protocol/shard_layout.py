"""The layout of a shard file: one chip's part of a quantized model, as it lies in chip memory.

host/build/shard.py writes such files, firmware/compute/shard.py reads them. A chip unloads this
module once it has read its file.

| part | content |
| --- | --- |
| 8 bytes | MAGIC |
| u16, u16, u32 | VERSION or GROUPS_VERSION, 0, length of the header |
| header | JSON object of the fields HEADER, padded with spaces to a multiple of 4 |
| tables | exponential u16 [EXP_ENTRIES], sigmoid u16 [SIGMOID_ENTRIES] |
| each layer | u16 row multipliers of q, k, v, gate, up; then weights: q, k, v; o; gate, up; down |
| its norms* | u16 [4, dim]: attention gain, multipliers of o, feed-forward gain, those of down |
| last norm* | u16 [dim]: gain |
| vocabulary | u16 row multipliers, then weights |
| DIGEST_SIZE bytes | SHA-256 of all before |

Everything is little-endian. A weight is stored as weight + WEIGHT_ZERO, so that a byte load needs
no sign extension, and a gain as multiplier + GAIN_ZERO. Matrices named between two semicolons are
stored as one, their rows one after another. Each layer and the vocabulary are padded to a multiple
of 4 bytes. Parts with a * exist only where the header's `has_norms` is true.

How a matrix is stored depends on the chip's kernels, and the header's `columns` says which:

| columns | a matrix |
| --- | --- |
| 1 | the blocks of columns that its kernel takes (host/build/kernels.py), row-major in each |
| PAIRS | rows of a multiple of PAIRS columns, two and two: see below |
| VECTORS | rows of a multiple of VECTORS columns, then int32 [rows]: see below |

Rows are padded with weights of 0. In a pair of rows each column has two bytes: the first row's
weight + WEIGHT_ZERO, and the second row's as int8; the last of an odd number of rows has one byte
for each column. Behind the rows of VECTORS, each row has an int32: the sum of its weights times
BIAS_FACTOR, modulo 2**32. Matrices begin and end at multiples of `columns` bytes, counted from the
start of the layer or the vocabulary.
"""

from protocol.compat import const

MAGIC = b"FEDSHARD"
VERSION = const(4)
# That of shards with matrices in groups, or a layer in which the residual stream gets coarser, for
# firmware that knows neither refuses them. Firmware that reads this version reads the other too.
GROUPS_VERSION = const(5)
PREFIX_SIZE = const(16)  # bytes before the header
DIGEST_SIZE = const(32)
EXP_ENTRIES = const(512)
SIGMOID_ENTRIES = const(1024)
ROPE_STRIDE = const(32)  # rope tables have positions 0 to 31, then every 32nd
WEIGHT_ZERO = const(128)
PAIRS = const(4)
VECTORS = const(16)
BIAS_FACTOR = const(-32768)
GAIN_ZERO = const(32768)
DROP = const(64)  # by which a shift is larger for each bit that the residual stream loses
RESIDUAL_BITS = const(25)  # of an element of the residual stream in a STEP: 24, and a sign

# The header's fields.
HEADER = (
    "model",  # the first bytes of the model's SHA-256, hexadecimal
    "chip",  # the id of the chip whose file this is
    "members",  # ids of the chips of its group, in order: all chips where there are no stages
    "first_layer",  # the layer of the model with which the group begins
    "next",  # ids of the chips of the next stage, none after the last
    "slots",  # sequences whose keys and values the chip holds at the same time
    "columns",  # rows of matrices are padded to a multiple of this: 1, PAIRS or VECTORS
    "has_norms",  # whether the chip keeps the residual stream, and so has gains and norms
    "dim",
    "head_dim",
    "total_heads",
    "total_kv_heads",
    "heads",  # indices of the chip's query heads
    "kv_heads",
    "units",  # how many feed-forward units the chip has
    "rows",  # how many rows of the vocabulary it has,
    "first_row",  # and the first of them
    "context",
    "positions",  # the most in one request
    "bits",  # of the widest partial sum
    "rope",  # [cosine, sine] of each pair's rotation by a position, in units of 2**-30
    "logit_shift",
    "logit_exponent",  # a logit is an integer / 2**exponent
    "final_norm",  # the numbers of a norm, as below
    "layers",  # for each layer its numbers, as below
)

# Where matrices are in groups of four bits (host/build/group_kernels.py) there is also "weights":
# the indices of these parts of a layer. All matrices of such a file begin and end at multiples of
# VECTORS bytes.
# Where KV caches hold int8 there is also "cache": the bits of a number in them, 8.
# With a large vocabulary there is also "candidates": how many of the best rows an answer has, in
# place of the logits of all rows. Where chips exchange by all-gather there is also "gather": three
# lists, for heads' means, feed-forward units and elements of the residual stream, of where each
# member's part begins, in the members' order, and where the last one's ends; then the most
# elements that any member has of any of them. Such a chip has rows of the o and down matrices in
# place of columns: those of its own elements of the residual stream; their columns are in the
# order in which members have heads and units.

# Indices of a layer's numbers. The shifts of o and down have DROP added for each bit by which the
# residual stream is shifted right, half-up, before their sums are added to it. Where queries and
# keys are normalized, more follow: the numbers of a norm and its multipliers [head_dim], first of
# queries and then of keys.
Q_SHIFT = const(0)
Q_LIMIT = const(1)
K_SHIFT = const(2)
K_LIMIT = const(3)
V_SHIFT = const(4)
V_LIMIT = const(5)
SCORE_SHIFT = const(6)
GATE_SHIFT = const(7)
UP_SHIFT = const(8)
INDEX_SHIFT = const(9)
PRODUCT_SHIFT = const(10)
HIDDEN_LIMIT = const(11)
ATTENTION_NORM = const(12)  # a list: the numbers of a norm
O_SHIFT = const(13)
FEED_FORWARD_NORM = const(14)  # a list: the numbers of a norm
DOWN_SHIFT = const(15)
LAYER_NUMBERS = const(16)

# Indices of a norm's numbers.
NORM_SHIFT = const(0)
NORM_EPSILON = const(1)
NORM_LIMIT = const(2)
NORM_NUMBERS = const(3)

# Parts of a layer, in the order in which its buffer holds them.
Q_MULTIPLIERS = const(0)
K_MULTIPLIERS = const(1)
V_MULTIPLIERS = const(2)
GATE_MULTIPLIERS = const(3)
UP_MULTIPLIERS = const(4)
QKV_WEIGHTS = const(5)
O_WEIGHTS = const(6)
GATE_UP_WEIGHTS = const(7)
DOWN_WEIGHTS = const(8)
LAYER_END = const(9)

# Parts of the vocabulary, which follow in the list of places.
VOCABULARY_WEIGHTS = const(10)
VOCABULARY_END = const(11)

# Added to the index of a layer's matrix: that of its columns in the list of places, negative where
# its weights are in groups.
MATRIX_COLUMNS = const(7)

# Parts of a layer's norms, each of `dim` elements.
ATTENTION_GAIN = const(0)
O_MULTIPLIERS = const(1)
FEED_FORWARD_GAIN = const(2)
DOWN_MULTIPLIERS = const(3)
NORM_PARTS = const(4)
