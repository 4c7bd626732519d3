"""What a chip holds of the model. firmware/shard.py fills it and then leaves the heap."""


class Weights:
    """One chip's share.

    layout: the shard header's numbers by name; model_hash: 8 bytes; digest: the first 8 of the
    shard file's SHA-256; layers: a `Layer` each; places: where matrices begin in a layer;
    vocabulary: row multipliers and weights of the classifier; exp_table, sigmoid_table,
    rope_table: u16; bytes: what lies in buffers; request_size, answer_size: the longest payloads
    of requests and of answers. Where chips combine: final_gain: that of the last norm;
    final_numbers: its shift, epsilon and limit.
    """


class Layer:
    """One layer's weights with their multipliers, its KV cache, shifts and limits.

    keys and values: u16 [kv_heads * context, head_dim], value + 2**15. norms: None, or where chips
    combine u16 [4, dim]: attention gain + 2**15, row multipliers of o, feed-forward gain + 2**15,
    row multipliers of down; with norm_numbers and ff_norm_numbers, each shift, epsilon and limit.
    Where a chip is a stage of several: caches: (keys, values) of each sequence that it can hold.
    """

    def __init__(self, layout, numbers, weights, norms):
        cache = 2 * len(layout["kv_heads"]) * layout["context"] * layout["head_dim"]
        self.weights = weights
        self.keys = bytearray(cache)
        self.values = bytearray(cache)
        self.q_shift, self.q_limit, self.k_shift, self.k_limit = numbers[:4]
        self.v_shift, self.v_limit, self.score_shift = numbers[4:7]
        self.gate_shift, self.up_shift, self.index_shift, self.product_shift = numbers[7:11]
        self.limit = numbers[11]
        self.norms = norms
        if norms:
            self.norm_numbers, self.o_shift, self.ff_norm_numbers, self.down_shift = numbers[12:]
