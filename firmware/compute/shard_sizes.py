"""Computes what a chip's shard of the model takes in its file, in buffers and in messages."""

from protocol.bitpack import packed_size
from protocol.frame import HEADER_SIZE
from protocol.messages import (
    BEST_SIZE,
    BOOT_ID,
    CANDIDATE_SIZE,
    LOGITS_DATA,
    MOST_LOGITS,
    PARTIAL_DATA,
    REQUEST_SIZE,
    RUN_SIZE,
    STEP_DATA,
)
from protocol.shard_layout import (
    EXP_ENTRIES,
    LAYER_END,
    NORM_PARTS,
    QKV_WEIGHTS,
    RESIDUAL_BITS,
    ROPE_STRIDE,
    SIGMOID_ENTRIES,
    VECTORS,
    VOCABULARY_END,
)


def places_in_layer(layout):
    """Returns byte offsets: of a layer's parts in its buffer, and its end; then of the
    vocabulary's weights in its own buffer, and its end; then the columns of a layer's matrices, as
    layer_matrices has them. See protocol/shard_layout.py."""
    head_dim, units = layout["head_dim"], layout["units"]
    rows, padding = layout["rows"], layout["columns"]
    apart = VECTORS if "weights" in layout else padding
    q_rows = len(layout["heads"]) * head_dim
    kv_rows = len(layout["kv_heads"]) * head_dim
    sizes = []
    for count, columns in layer_matrices(layout) + ((rows, layout["dim"]),):
        size = count * (columns + -columns % padding)
        if columns > 0 and padding == VECTORS:
            size += 4 * count
        if columns < 0:  # in groups of 32, of 18 bytes each
            size = count * columns * 9 // -16
        sizes.append(size + -size % apart)
    places = [0]
    for count in (q_rows, kv_rows, kv_rows, units, units):
        places.append(places[-1] + 2 * count)
    places[-1] += -places[-1] % apart
    for size in sizes[:-1]:
        places.append(places[-1] + size)
    places[-1] += -places[-1] % 4
    at = 2 * rows + -2 * rows % apart
    size = at + sizes[-1]
    places += [at, size + -size % 4]
    return places + [columns for _, columns in layer_matrices(layout)]


def layer_matrices(layout):
    """Returns rows and columns of a layer's matrices: q, k, v; o; gate, up; down. Columns are
    negative where they are in groups."""
    head_dim, dim, units = layout["head_dim"], layout["dim"], layout["units"]
    q_rows, kv_rows = len(layout["heads"]) * head_dim, len(layout["kv_heads"]) * head_dim
    o, down = (dim, q_rows), (dim, units)
    if "gather" in layout:
        heads, hidden, stream, _ = layout["gather"]
        me = layout["members"].index(bytes([layout["chip"]]))
        own = stream[me + 1] - stream[me]
        o, down = (own, heads[-1]), (own, hidden[-1])
    whole = (q_rows + 2 * kv_rows, dim), o, (2 * units, dim), down
    grouped = layout.get("weights", ())
    return tuple([
        (rows, -columns if QKV_WEIGHTS + i in grouped else columns)
        for i, (rows, columns) in enumerate(whole)
    ])


def norms_size(layout):
    """Returns the bytes of a layer's norms, 0 where the host keeps the residual stream."""
    return 2 * NORM_PARTS * layout["dim"] if layout["has_norms"] else 0


def shard_bytes(layout):
    """Returns the bytes that a shard takes in buffers: tables, weights, norms and KV cache."""
    head_dim, context, layers = layout["head_dim"], layout["context"], len(layout["layers"])
    tables = 2 * (EXP_ENTRIES + SIGMOID_ENTRIES) + 2 * rope_rows(layout) * head_dim
    norms = norms_size(layout)
    row = head_dim + 1 if "cache" in layout else 2 * head_dim
    caches = 2 * layout["slots"] * len(layout["kv_heads"]) * context * row
    places = places_in_layer(layout)
    layer = places[LAYER_END] + caches + norms
    # The last norm has a gain only: one of the four parts that a layer's norms have.
    last = norms // NORM_PARTS
    return tables + layers * layer + last + places[VOCABULARY_END]


def message_sizes(layout):
    """Returns the bytes of the longest payload of a request, and of an answer."""
    values = layout["positions"] * layout["dim"]
    # A sequence has at most two runs: positions to be scored come after those of all sequences.
    slots = layout["slots"]
    several = min(layout["positions"], 2 * slots) - 1 if slots > 1 else 0
    runs = 1 + RUN_SIZE * several if several > 0 else 0
    rows = 2 * max(1, layout["rows"])
    if "candidates" in layout:
        rows = CANDIDATE_SIZE * max(1, min(layout["rows"], layout["candidates"]))
    scored = min(layout["positions"], MOST_LOGITS // rows)
    logits = LOGITS_DATA + rows * max(1, scored)
    if not layout["has_norms"]:
        partial = PARTIAL_DATA + packed_size(values, layout["bits"])
        return REQUEST_SIZE + runs + 2 * values, max(partial, logits)
    step = STEP_DATA - HEADER_SIZE + runs + packed_size(values, RESIDUAL_BITS)
    # Before the last stage, what a chip sends is the next stage's request.
    best = BOOT_ID + 2 + BEST_SIZE * layout["positions"]
    return step, step if layout["next"] else max(logits, best)


def rope_rows(layout):
    """Returns the rows of the rope table: positions 0 to 31, then every 32nd."""
    return ROPE_STRIDE + -(-layout["context"] // ROPE_STRIDE)
