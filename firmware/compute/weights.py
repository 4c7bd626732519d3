"""A chip's weights. firmware/compute/shard.py loads them, and is then unloaded."""

from protocol.compat import const

INT16_LIMIT = const(32767)


class Weights:
    """One chip's shard.

    layout: the header's fields by name (protocol/shard_layout.py), except those that follow;
    model_hash: 8 bytes; digest: the first 8 bytes of the shard file's SHA-256; layers: the Layers;
    places: the offsets of the parts of a layer, and of the vocabulary, in their buffers;
    vocabulary: row multipliers and weights of the classifier; exp_table, sigmoid_table,
    rope_table: u16; workspace: the buffers in which the chip computes; bytes: the total size of
    buffers; request_size, answer_size: bytes of the longest payload of a request, and of an
    answer.

    final_gain, final_norm: those of the last norm, where the chip keeps the residual stream.
    on_idle: where matrices stay in flash, a function that makes a role's on_idle read them ahead
    (firmware/compute/blocks.py), else None. all: the class Several where such a chip's requests
    hold several positions, else None. blocks: the Blocks of such a chip, else None.
    """

    on_idle = all = blocks = None

    def holdings(self):
        """Returns what READY tells of the shard: model hash, shard digest, heads, units, rows,
        context, bytes."""
        layout = self.layout
        return (
            self.model_hash,
            self.digest,
            len(layout["heads"]),
            layout["units"],
            layout["rows"],
            layout["context"],
            self.bytes,
        )


class Layer:
    """One layer's weights with their multipliers, its KV caches, shifts and limits.

    weights: a buffer of its parts, in the order of protocol/shard_layout.py. keys, values: of the
    current sequence, u16 [kv_heads * context, head_dim], stored as key + key_zero (the limit of
    keys, plus 1) and value + 2**15; or, as int8 caches, u8 of the same shape, number + 128, and
    then for each row the shift of its numbers. caches: for each slot (keys, values,
    attention_values), None if there is one slot; attention_values: those of the current slot
    (firmware/compute/program.py). qkv_scales, gate_up_scales: int32, for the kernel `rescale`:
    rows, shift and limit of each of q, k and v, and of gate and up; the former also has what the
    norms of q and k need. gating: index shift, product shift and limit for the kernel `gate`.

    Where the chip keeps the residual stream, also norms: u16 [4, dim], in the order of
    protocol/shard_layout.py; attention_norm, feed_forward_norm: shift, epsilon and limit; o_shift,
    down_shift.
    """

    caches = norms = None

    def select(self, index):
        """Makes keys, values and attention_values those of the slot `index`."""
        if self.caches:
            self.keys, self.values, self.attention_values = self.caches[index]
