"""What a chip holds of the model. firmware/compute/shard.py fills it and then leaves the heap."""

from protocol.compat import const

INT16_LIMIT = const(32767)


class Weights:
    """One chip's shard.

    layout: the header's fields by name (protocol/shard_layout.py) but for what is below;
    model_hash: 8 bytes; digest: the first 8 of the shard file's SHA-256; layers: a `Layer` each;
    places: where the parts of a layer, and of the vocabulary, begin in their buffers; vocabulary:
    row multipliers and weights of the classifier; exp_table, sigmoid_table, rope_table: u16;
    workspace: the buffers in which the chip computes; bytes: what lies in buffers; request_size,
    answer_size: the longest payloads of requests and of answers. Where the chip keeps the residual
    stream: final_gain and final_norm: those of the last norm. on_idle: where matrices stay in
    flash, what has a role's on_idle read them ahead (firmware/compute/blocks.py).
    """

    on_idle = None

    def holdings(self):
        """What READY says of it: model hash, shard digest, heads, units, rows, context, bytes."""
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

    weights: its parts as protocol/shard_layout.py has them; keys and values: u16
    [kv_heads * context, head_dim], key + key_zero, which is the limit of keys and 1, and
    value + 2**15, of the current sequence; caches: of each slot (keys, values, attention_values),
    None where there is one; attention_values: firmware/compute/program.py's of the current one.
    qkv_scales, gate_up_scales: int32, rows, shift and limit of each of q, k and v, and of gate and
    up, for the kernel `rescale`, and behind the former what the norms of q and k need; gating:
    index shift, product shift and limit of the kernel `gate`. Where the chip keeps the residual
    stream: norms: u16 [4, dim], as protocol/shard_layout.py has them; attention_norm,
    feed_forward_norm: shift, epsilon and limit; o_shift, down_shift.
    """

    caches = norms = None

    def select(self, index):
        """Makes the keys and values of the slot `index` the current ones."""
        if self.caches:
            self.keys, self.values, self.attention_values = self.caches[index]
