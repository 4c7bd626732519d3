"""A chip's share of the model, read from its shard file straight into fixed buffers.

host/build/shard.py describes the file and writes it.
"""

import gc
import hashlib
import json
from binascii import unhexlify

from firmware.heap import filler
from firmware.tensor_parallel import BufferOverflow, TPConfig
from firmware.weights import Layer, Weights
from firmware.workspace import Workspace, workspace_bytes
from protocol.bitpack import packed_size
from protocol.compat import const
from protocol.fields import put_u16
from protocol.frame import HEADER_SIZE
from protocol.messages import HASH_SIZE, LOGITS_DATA, PARTIAL_DATA, REQUEST_SIZE, STEP_DATA

_VERSION = const(2)
_HEADER = const(16)  # bytes before the JSON
_DIGEST_SIZE = const(32)
_CHUNK = const(1024)  # read at once for the digest
_EXP_ENTRIES = const(512)
_SIGMOID_ENTRIES = const(1024)
_ROPE_STRIDE = const(32)
_RESIDUAL_BITS = const(25)  # of the residual stream in a STEP: 24, and a sign
# Heap that must stay free beside the share, for the code and buffers that work with it: the least
# that a chip on UART takes.
_RESERVE = const(22528)
_LAYER = const(1024)  # the objects of a layer and what their making leaves behind, at most


class ShardError(Exception):
    """A shard file that this chip must not use; the text says why."""


def loaded(path, chip_id):
    """The Weights in the shard file at `path`, which must be chip `chip_id`'s.

    Raises ShardError for a file that is damaged or another chip's, BufferOverflow where the heap
    cannot hold the share.
    """
    try:
        with open(path, "rb") as file:
            size = _header_size(file)
            digest = _digest(file)
            gc.collect()  # so that what stays of the header lies low
            file.seek(_HEADER)
            weights = _weights(file, size, chip_id)
            weights.digest = digest
            return weights
    except OSError as error:
        reason = error
    raise ShardError("no shard at %s (%s): flash this chip" % (path, reason))


def _header_size(file):
    start = _buffer(file, _HEADER)
    if start[:8] != b"FEDSHARD":
        raise ShardError("the shard file is not one: flash this chip again")
    version = start[8] | start[9] << 8
    if version != _VERSION:
        raise ShardError("shard format %d, firmware reads %d: flash both" % (version, _VERSION))
    return start[12] | start[13] << 8 | start[14] << 16


def _digest(file):
    """The first bytes of the SHA-256 that ends the file; raises ShardError unless it is that of
    all before: nothing that a damaged file says is believed, sizes least of all."""
    hashed = hashlib.sha256()
    chunk = memoryview(bytearray(_CHUNK))
    left = file.seek(0, 2) - _DIGEST_SIZE
    file.seek(0)
    while left > 0:
        count = file.readinto(chunk[: min(left, _CHUNK)])
        hashed.update(chunk[:count])
        left -= count
    digest = hashed.digest()
    if file.read() != digest:
        raise ShardError("SHA-256 of the shard is wrong: flash this chip again")
    return digest[:HASH_SIZE]


def _weights(file, header_size, chip_id):
    weights = Weights()
    weights.layout = layout = json.loads(_buffer(file, header_size))
    _check_owner(layout, chip_id)
    weights.bytes = share_bytes(layout)
    _check_memory(layout, weights.bytes)
    try:
        _fill(weights, layout, file)
        del layout["layers"]
        return weights
    except MemoryError:
        pass  # not raised from here: MicroPython has no chained exceptions
    raise _overflow(layout, weights.bytes, "there are no pieces of heap so large")


def _fill(weights, layout, file):
    """Makes the buffers and reads the file into them."""
    work = workspace_bytes(layout)
    below = filler(weights.bytes + work + _LAYER * (1 + len(layout["layers"])))
    weights.model_hash = unhexlify(layout.pop("model"))
    positions, dim, rows = layout["positions"], layout["dim"], layout["rows"]
    norms = _norms_size(layout)
    weights.answer_size = LOGITS_DATA + 2 * rows
    if norms:
        residual = packed_size(positions * dim, _RESIDUAL_BITS)
        weights.request_size = STEP_DATA - HEADER_SIZE + residual
        if layout.get("next"):  # what it answers is the next stage's request
            weights.answer_size = weights.request_size
    else:
        weights.request_size = REQUEST_SIZE + 2 * positions * dim
        partial = PARTIAL_DATA + packed_size(positions * dim, layout["bits"])
        weights.answer_size = max(partial, weights.answer_size)
    weights.exp_table = _buffer(file, 2 * _EXP_ENTRIES)
    weights.sigmoid_table = _buffer(file, 2 * _SIGMOID_ENTRIES)
    weights.places = places = places_in_layer(layout)
    weights.layers = [
        Layer(layout, numbers, _buffer(file, places[-1]), _buffer(file, norms) if norms else None)
        for numbers in layout["layers"]
    ]
    if "slots" in layout:
        for layer in weights.layers:
            layer.caches = _caches(layer, layout["slots"])
    if norms:
        weights.final_gain = _buffer(file, 2 * dim)
        weights.final_numbers = layout.pop("final")
    weights.vocabulary = _buffer(file, rows * (dim + 2))
    weights.workspace = Workspace(layout)
    del below
    weights.rope_table = _rope_table(layout, layout.pop("rope"))


def _caches(layer, slots):
    """Keys and values of so many sequences."""
    size = len(layer.keys)
    others = [(bytearray(size), bytearray(size)) for _ in range(1, slots)]
    return [(layer.keys, layer.values)] + others


def _check_owner(layout, chip_id):
    """Raises ShardError unless the shard is this chip's, with the heads that the rule gives it."""
    if layout["chip"] != chip_id:
        raise ShardError("the shard is chip %d's, this is chip %d" % (layout["chip"], chip_id))
    config = TPConfig.distribute_heads(
        layout["members"].index(chip_id) if "members" in layout else chip_id,
        layout.pop("chips"),
        layout["total_heads"],
        layout["head_dim"],
        layout["total_kv_heads"],
    )
    if config.heads != layout["heads"] or config.kv_heads != layout["kv_heads"]:
        raise ShardError("the shard holds heads %s, not %s" % (layout["heads"], config.heads))


def _check_memory(layout, share):
    """Raises BufferOverflow before anything is allocated that would not fit."""
    gc.collect()
    free = gc.mem_free() if hasattr(gc, "mem_free") else share + _RESERVE
    if share + _RESERVE > free:
        raise _overflow(layout, share + _RESERVE, "%d are free" % free)


def _overflow(layout, needed, lacking):
    return BufferOverflow(
        "chip %d: %d heads with their share of %d layers need %d bytes, %s"
        % (layout["chip"], len(layout["heads"]), len(layout["layers"]), needed, lacking)
    )


def places_in_layer(layout):
    """Byte offsets in a layer's buffer: of the row multipliers (q, k, v, gate, up), of the weights
    (q with k and v, o, gate with up, down), and of its end, a multiple of 4."""
    head_dim, dim, units = layout["head_dim"], layout["dim"], layout["units"]
    q_rows = len(layout["heads"]) * head_dim
    kv_rows = len(layout["kv_heads"]) * head_dim
    places = [0]
    for size in (
        2 * q_rows,
        2 * kv_rows,
        2 * kv_rows,
        2 * units,
        2 * units,
        (q_rows + 2 * kv_rows) * dim,
        dim * q_rows,
        2 * units * dim,
        dim * units,
    ):
        places.append(places[-1] + size)
    places[-1] += -places[-1] % 4
    return places


def _norms_size(layout):
    """Bytes of a layer's gains and row multipliers, 0 where the host combines."""
    return 8 * layout["dim"] if "members" in layout else 0


def share_bytes(layout):
    """Bytes that a share takes in buffers: tables, weights, norms and KV cache."""
    head_dim, context, layers = layout["head_dim"], layout["context"], len(layout["layers"])
    tables = 2 * (_EXP_ENTRIES + _SIGMOID_ENTRIES) + 2 * _rope_rows(layout) * head_dim
    norms = _norms_size(layout)
    caches = 4 * layout.get("slots", 1) * len(layout["kv_heads"]) * context * head_dim
    layer = places_in_layer(layout)[-1] + caches + norms
    # The last norm has one gain, of the four parts of a layer's norms.
    return tables + layers * layer + norms // 4 + layout["rows"] * (layout["dim"] + 2)


def _buffer(file, size):
    """The next `size` bytes in a buffer of their own."""
    buffer = bytearray(size)
    if size and file.readinto(buffer) != size:
        raise ShardError("the shard is cut short: flash this chip again")
    return buffer


def _rope_rows(layout):
    """Rows of the rope table: positions 0..31, then each 32nd."""
    return _ROPE_STRIDE + -(-layout["context"] // _ROPE_STRIDE)


def _rope_table(layout, steps):
    """u16 [rows, head_dim / 2, 2]: cosine and sine in units of 2**-14, plus 2**14.

    Whole-number arithmetic, as host/model/arithmetic.py has it, so that every chip's is the same.
    """
    pairs = len(steps)
    table = bytearray(4 * _rope_rows(layout) * pairs)
    for pair in range(pairs):
        cosine, sine = 1 << 30, 0
        for position in range(max(layout["context"], _ROPE_STRIDE)):
            if position < _ROPE_STRIDE:
                _put_entry(table, position * pairs + pair, cosine, sine)
            if position % _ROPE_STRIDE == 0:
                row = _ROPE_STRIDE + position // _ROPE_STRIDE
                _put_entry(table, row * pairs + pair, cosine, sine)
            cosine, sine = _turned(cosine, sine, steps[pair])
    return table


def _turned(cosine, sine, step):
    half = 1 << 29
    return (
        cosine * step[0] - sine * step[1] + half >> 30,
        cosine * step[1] + sine * step[0] + half >> 30,
    )


def _put_entry(table, index, cosine, sine):
    put_u16(table, 4 * index, (cosine + 32768 >> 16) + 16384)
    put_u16(table, 4 * index + 2, (sine + 32768 >> 16) + 16384)
