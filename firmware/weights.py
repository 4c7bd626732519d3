"""What a chip holds of the model. firmware/shard.py fills it and then leaves the heap."""

from array import array

from protocol.compat import const

INT16_LIMIT = const(32767)


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

    keys and values: u16 [kv_heads * context, head_dim], key + key_zero, which is the limit of keys
    and 1, and value + 2**15. qkv_scales, gate_up_scales: int32, rows, shift and limit of each of
    q, k and v, and of gate and up, for the kernel `rescale`. norms: None, or where chips combine
    u16 [4, dim]: attention gain + 2**15, row multipliers of o, feed-forward gain + 2**15, row
    multipliers of down; with norm_numbers and ff_norm_numbers, each shift, epsilon and limit.
    Where a chip is a stage of several: caches: (keys, values) of each sequence that it can hold.
    """

    def __init__(self, layout, numbers, weights, norms):
        head_dim, units = layout["head_dim"], layout["units"]
        q_rows, kv_rows = len(layout["heads"]) * head_dim, len(layout["kv_heads"]) * head_dim
        self.weights = weights
        self.keys = bytearray(2 * kv_rows * layout["context"])
        self.values = bytearray(2 * kv_rows * layout["context"])
        n = numbers
        k_and_v = [kv_rows, n[2], n[3], kv_rows, n[4], n[5]]
        self.qkv_scales = array("i", [q_rows, n[0], n[1]] + k_and_v)
        self.key_zero = n[3] + 1
        self.gate_up_scales = array("i", [units, n[7], INT16_LIMIT, units, n[8], INT16_LIMIT])
        self.score_shift = numbers[6]
        self.index_shift, self.product_shift, self.limit = numbers[9:12]
        self.norms = norms
        if norms:
            self.norm_numbers, self.o_shift, self.ff_norm_numbers, self.down_shift = numbers[12:]
