"""Reads a chip's shard of the model from its file straight into fixed buffers.

protocol/shard_layout.py describes the file.
"""

import gc
import hashlib
import json
from array import array
from binascii import unhexlify

from firmware.compute.rope import rope_table
from firmware.compute.shard_sizes import message_sizes, norms_size, places_in_layer, shard_bytes
from firmware.compute.tensor_parallel import BufferOverflow, TPConfig
from firmware.compute.weights import INT16_LIMIT, Layer, Weights
from firmware.compute.workspace import Workspace, workspace_bytes
from firmware.heap import filler
from protocol.compat import const
from protocol.messages import HASH_SIZE
from protocol.shard_layout import (
    ATTENTION_NORM,
    DIGEST_SIZE,
    DOWN_SHIFT,
    EXP_ENTRIES,
    FEED_FORWARD_NORM,
    GATE_SHIFT,
    GROUPS_VERSION,
    HEADER,
    HIDDEN_LIMIT,
    INDEX_SHIFT,
    K_LIMIT,
    K_SHIFT,
    LAYER_END,
    LAYER_NUMBERS,
    MAGIC,
    O_SHIFT,
    PREFIX_SIZE,
    PRODUCT_SHIFT,
    Q_LIMIT,
    Q_SHIFT,
    SCORE_SHIFT,
    SIGMOID_ENTRIES,
    UP_SHIFT,
    V_LIMIT,
    V_SHIFT,
    VERSION,
    VOCABULARY_END,
)

_CHUNK = const(256)  # bytes read at once for the digest; a stale pointer may keep them for a while
# Bytes of heap that must stay free beside the shard for code and buffers: the least of all chips,
# which is that of a chip on ESP-NOW, because it has loaded the most code before its shard.
_RESERVE = const(20480)
_LAYER_OBJECTS = const(1024)  # bytes at most of a layer's objects, and of garbage from making them


class ShardError(Exception):
    """This chip must not use the shard file; the text says why, and what to do."""


def load_weights(path, chip_id):
    """Returns the Weights in the shard file at `path`, which must be that of chip `chip_id`.

    Raises ShardError for a file that is missing, damaged or another chip's, and BufferOverflow if
    the heap cannot hold the shard.
    """
    try:
        with open(path, "rb") as file:
            _header_size(file)
            return load(file, chip_id, _digest(file))
    except OSError as error:
        reason = error
    raise ShardError("no shard at %s (%s): flash this chip" % (path, reason))


def load(file, chip_id, digest):
    """Returns the Weights in an open file; digest: its SHA-256, already verified."""
    file.seek(0)
    size = _header_size(file)
    gc.collect()  # so that what is kept of the header lies low in the heap
    weights = _weights(file, size, chip_id)
    weights.digest = digest[:HASH_SIZE]
    return weights


def _header_size(file):
    prefix = _buffer(file, PREFIX_SIZE)
    if prefix[: len(MAGIC)] != MAGIC:
        raise ShardError("the shard file is not one: flash this chip again")
    version = prefix[8] | prefix[9] << 8
    if version != VERSION and version != GROUPS_VERSION:
        raise ShardError(
            "shard format %d, firmware reads %d: flash both" % (version, GROUPS_VERSION)
        )
    return prefix[12] | prefix[13] << 8 | prefix[14] << 16


def _digest(file):
    """Returns the SHA-256 at the end of the file; raises ShardError unless it matches the bytes
    before it. Nothing in a damaged file is to be believed, least of all a size."""
    hashed = hashlib.sha256()
    chunk = memoryview(bytearray(_CHUNK))
    left = file.seek(0, 2) - DIGEST_SIZE
    file.seek(0)
    while left > 0:
        count = file.readinto(chunk[: min(left, _CHUNK)])
        hashed.update(chunk[:count])
        left -= count
    gc.collect()  # or the digest would lie above the garbage of reading, in the way of the shard
    digest = hashed.digest()
    if file.read() != digest:
        raise ShardError("SHA-256 of the shard is wrong: flash this chip again")
    return digest


def _weights(file, header_size, chip_id):
    weights = Weights()
    weights.layout = layout = _header(file, header_size)
    _check_owner(layout, chip_id)
    weights.bytes = shard_bytes(layout)
    _check_memory(layout, weights.bytes)
    try:
        _fill(weights, layout, file)
        del layout["layers"]
        return weights
    except MemoryError:
        pass  # raised below instead: MicroPython has no chained exceptions
    raise _overflow(layout, weights.bytes, "there are no pieces of heap so large")


def _header(file, size):
    """Returns the header's fields by name; raises ShardError if one is missing."""
    layout = json.loads(_buffer(file, size))
    for name in HEADER:
        if name not in layout:
            raise ShardError("the shard's header has no %s: flash this chip again" % name)
    for name in ("members", "next"):
        layout[name] = bytes(layout[name])
    return layout


def _fill(weights, layout, file):
    """Makes the buffers and reads the file into them."""
    work = workspace_bytes(layout)
    below = filler(weights.bytes + work + _LAYER_OBJECTS * (1 + len(layout["layers"])))
    weights.model_hash = unhexlify(layout.pop("model"))
    weights.request_size, weights.answer_size = message_sizes(layout)
    weights.exp_table = _buffer(file, 2 * EXP_ENTRIES)
    weights.sigmoid_table = _buffer(file, 2 * SIGMOID_ENTRIES)
    weights.places = places = places_in_layer(layout)
    weights.layers = [
        _layer(layout, numbers, file, places[LAYER_END]) for numbers in layout["layers"]
    ]
    final_norm = layout.pop("final_norm")
    if layout["has_norms"]:
        weights.final_gain = _buffer(file, 2 * layout["dim"])
        weights.final_norm = final_norm
    weights.vocabulary = _buffer(file, places[VOCABULARY_END])
    weights.workspace = Workspace(layout)
    del below
    weights.rope_table = rope_table(layout, layout.pop("rope"))


def _layer(layout, numbers, file, size):
    """Reads and returns the next layer of the file, of `size` bytes besides its norms.

    It must leave little garbage behind: the buffers of the next layer lie above that.
    """
    layer = Layer()
    head_dim, units = layout["head_dim"], layout["units"]
    q_rows, kv_rows = len(layout["heads"]) * head_dim, len(layout["kv_heads"]) * head_dim
    layer.weights = _buffer(file, size)
    if layout["has_norms"]:
        layer.norms = _buffer(file, norms_size(layout))
        layer.attention_norm = numbers[ATTENTION_NORM]
        layer.feed_forward_norm = numbers[FEED_FORWARD_NORM]
        layer.o_shift, layer.down_shift = numbers[O_SHIFT], numbers[DOWN_SHIFT]
    cache = kv_rows * layout["context"]
    cache += len(layout["kv_heads"]) * layout["context"] if "cache" in layout else cache
    layer.keys, layer.values = bytearray(cache), bytearray(cache)
    if layout["slots"] > 1:
        others = [(bytearray(cache), bytearray(cache), None) for _ in range(1, layout["slots"])]
        layer.caches = [(layer.keys, layer.values, None)] + others
    k_limit = numbers[K_LIMIT]
    norms = numbers[LAYER_NUMBERS:]  # the norms of queries and keys, if there are any
    layer.key_zero = k_limit + 1
    layer.qkv_scales = array("i", [
        q_rows, numbers[Q_SHIFT], numbers[Q_LIMIT],
        kv_rows, numbers[K_SHIFT], k_limit,
        kv_rows, numbers[V_SHIFT], numbers[V_LIMIT],
    ] + norms)  # fmt: skip
    if norms:
        layer.qkv_scales[2] = layer.qkv_scales[5] = INT16_LIMIT
    layer.score_shift = numbers[SCORE_SHIFT]
    layer.gate_up_scales = array("i", [
        units, numbers[GATE_SHIFT], INT16_LIMIT,
        units, numbers[UP_SHIFT], INT16_LIMIT,
    ])  # fmt: skip
    layer.gating = (
        numbers[INDEX_SHIFT], numbers[PRODUCT_SHIFT], numbers[HIDDEN_LIMIT],
    )  # fmt: skip
    return layer


def _check_owner(layout, chip_id):
    """Raises ShardError unless the shard is this chip's, with the heads that TPConfig gives it:
    by whole groups (each KV head is held once) or as TPConfig chooses."""
    if layout["chip"] != chip_id:
        raise ShardError("the shard is chip %d's, this is chip %d" % (layout["chip"], chip_id))
    members = layout["members"]
    for by_group in (True, False):
        config = TPConfig.distribute_heads(
            members.index(bytes([chip_id])),
            len(members),
            layout["total_heads"],
            layout["head_dim"],
            layout["total_kv_heads"],
            by_group,
        )
        if config.heads == layout["heads"] and config.kv_heads == layout["kv_heads"]:
            return
    raise ShardError("the shard holds heads %s, not %s" % (layout["heads"], config.heads))


def _check_memory(layout, size):
    """Raises BufferOverflow, before anything is allocated, if the shard does not fit the heap."""
    gc.collect()
    free = gc.mem_free() if hasattr(gc, "mem_free") else size + _RESERVE
    if size + _RESERVE > free:
        raise _overflow(layout, size + _RESERVE, "%d are free" % free)


def _overflow(layout, size, lacking):
    return BufferOverflow(
        "chip %d: %d heads with their shard of %d layers need %d bytes, %s"
        % (layout["chip"], len(layout["heads"]), len(layout["layers"]), size, lacking)
    )


def _buffer(file, size):
    """Returns the next `size` bytes of the file in a new buffer; ShardError if there are fewer."""
    buffer = bytearray(size)
    if size and file.readinto(buffer) != size:
        raise ShardError("the shard is cut short: flash this chip again")
    return buffer
