"""A chip's share of the model, read from its shard file straight into fixed buffers.

host/parallel/shard.py describes the file and writes it.
"""

import gc
import hashlib
import json

from firmware.tensor_parallel import BufferOverflow, TPConfig
from protocol.compat import const

_VERSION = const(1)
_EXP_ENTRIES = const(512)
_SIGMOID_ENTRIES = const(1024)
# Heap that must stay free beside the share: message buffers, link buffers, transient objects.
_RESERVE = const(14336)


class ShardError(Exception):
    """A shard file that this chip must not use; the text says why."""


class Shard:
    """Weights, tables and KV cache of one chip.

    `layers` are `Layer`s, `places` the offsets in their weights; `vocabulary` holds the row
    multipliers and weights of the classifier; `layout` the header's numbers by name;
    `tensor_parallel` is the chip's TPConfig; `bytes` counts what lies in buffers.
    """

    def __init__(self, path, chip_id):
        """Raises ShardError for a file that is damaged or another chip's, BufferOverflow
        where the heap cannot hold the share."""
        try:
            with open(path, "rb") as file:
                self._load(_HashedFile(file), chip_id)
        except OSError as error:
            raise ShardError("no shard at %s (%s): flash this chip" % (path, error))

    def _load(self, file, chip_id):
        self.layout = layout = _header(file)
        if layout["chip"] != chip_id:
            raise ShardError("the shard is chip %d's and this is chip %d" % (layout["chip"], chip_id))
        self.model_hash = bytes(
            int(layout["model"][i : i + 2], 16) for i in range(0, len(layout["model"]), 2)
        )
        self.tensor_parallel = self._tensor_parallel(chip_id)
        self._check_memory()
        self.exp_table = file.buffer(2 * _EXP_ENTRIES)
        self.sigmoid_table = file.buffer(2 * _SIGMOID_ENTRIES)
        self.places = places_in_layer(layout)
        self.layers = [
            Layer(layout, numbers, file.buffer(self.places["end"]))
            for numbers in layout.pop("layers")
        ]
        size = layout["rows"] * (layout["dim"] + 2)
        self.vocabulary = file.buffer(size)
        file.buffer(-size % 4)
        if not file.digest_matches():
            raise ShardError("SHA-256 of the shard is wrong: flash this chip again")
        self.rope_table = _rope_table(layout.pop("rope"), layout["context"])

    def _tensor_parallel(self, chip_id):
        """The TPConfig that the rule gives; the shard must hold the heads it names."""
        layout = self.layout
        config = TPConfig.distribute_heads(
            chip_id,
            layout["chips"],
            layout["total_heads"],
            layout["head_dim"],
            layout["total_kv_heads"],
        )
        if config.heads != layout["heads"] or config.kv_heads != layout["kv_heads"]:
            raise ShardError("the shard holds heads %s, not %s" % (layout["heads"], config.heads))
        return config

    def _check_memory(self):
        """Raises BufferOverflow before anything is allocated that would not fit."""
        layout = self.layout
        self.bytes = share_bytes(layout)
        gc.collect()
        free = gc.mem_free() if hasattr(gc, "mem_free") else self.bytes + _RESERVE
        if self.bytes + _RESERVE > free:
            raise BufferOverflow(
                "chip %d: %d heads with their share of %d layers need %d bytes, %d are free"
                % (
                    layout["chip"],
                    len(layout["heads"]),
                    len(layout["layers"]),
                    self.bytes + _RESERVE,
                    free,
                )
            )


class Layer:
    """One layer's weights with their multipliers, its KV cache, shifts and limits.

    keys and values: u16 [kv_heads * context, head_dim], value + 2**15.
    """

    def __init__(self, layout, numbers, weights):
        cache = 2 * len(layout["kv_heads"]) * layout["context"] * layout["head_dim"]
        self.weights = weights
        self.keys = bytearray(cache)
        self.values = bytearray(cache)
        self.q_shift, self.q_limit = numbers["q"]
        self.k_shift, self.k_limit = numbers["k"]
        self.v_shift, self.v_limit = numbers["v"]
        self.score_shift = numbers["score"]
        self.gate_shift, self.up_shift = numbers["gate"], numbers["up"]
        self.index_shift, self.product_shift = numbers["index"], numbers["product"]
        self.limit = numbers["hidden"]


def places_in_layer(layout):
    """Byte offsets in a layer's buffer of the multipliers (q, k, v, gate, up) and the weights (qkv, o,
    gate_up, down), and its length ("end", a multiple of 4)."""
    head_dim, dim, units = layout["head_dim"], layout["dim"], layout["units"]
    q_rows = len(layout["heads"]) * head_dim
    kv_rows = len(layout["kv_heads"]) * head_dim
    places, at = {}, 0
    for name, size in (
        ("q", 2 * q_rows),
        ("k", 2 * kv_rows),
        ("v", 2 * kv_rows),
        ("gate", 2 * units),
        ("up", 2 * units),
        ("qkv", (q_rows + 2 * kv_rows) * dim),
        ("o", dim * q_rows),
        ("gate_up", 2 * units * dim),
        ("down", dim * units),
    ):
        places[name] = at
        at += size
    places["end"] = at + -at % 4
    return places


def share_bytes(layout):
    """Bytes that a share takes in buffers: tables, weights and KV cache."""
    head_dim, context, layers = layout["head_dim"], layout["context"], len(layout["layers"])
    tables = 2 * (_EXP_ENTRIES + _SIGMOID_ENTRIES) + 2 * context * head_dim
    layer = places_in_layer(layout)["end"] + 4 * len(layout["kv_heads"]) * context * head_dim
    return tables + layers * layer + layout["rows"] * (layout["dim"] + 2)


class _HashedFile:
    """Reads a file into buffers made for it and hashes on the way."""

    def __init__(self, file):
        self._file = file
        self._hash = hashlib.sha256()

    def buffer(self, size):
        """The next `size` bytes in a buffer of their own."""
        buffer = bytearray(size)
        if size:
            if self._file.readinto(buffer) != size:
                raise ShardError("the shard is cut short: flash this chip again")
            self._hash.update(buffer)
        return buffer

    def digest_matches(self):
        """Whether the file ends here with the SHA-256 of what was read."""
        return self._file.read() == self._hash.digest()


def _header(file):
    start = file.buffer(16)
    if start[:8] != b"FEDSHARD":
        raise ShardError("the shard file is not one: flash this chip again")
    version = start[8] | start[9] << 8
    if version != _VERSION:
        raise ShardError("shard format %d, firmware reads %d: flash both" % (version, _VERSION))
    return json.loads(file.buffer(start[12] | start[13] << 8 | start[14] << 16))


def _rope_table(steps, context):
    """u16 [context, head_dim / 2, 2]: cosine and sine in units of 2**-14, plus 2**14.

    Whole-number arithmetic, as in host/model/arithmetic.py, so that every chip's table is the same.
    """
    pairs = len(steps)
    table = bytearray(4 * context * pairs)
    half = 1 << 29
    for pair in range(pairs):
        step_cosine, step_sine = steps[pair]
        cosine, sine = 1 << 30, 0
        for position in range(context):
            at = 4 * (position * pairs + pair)
            for value in (cosine, sine):
                entry = (value + 32768 >> 16) + 16384
                table[at] = entry & 255
                table[at + 1] = entry >> 8
                at += 2
            cosine, sine = (
                cosine * step_cosine - sine * step_sine + half >> 30,
                cosine * step_sine + sine * step_cosine + half >> 30,
            )
    return table
