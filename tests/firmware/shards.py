"""Shard files of tiny models, written from the format's description in protocol/shard_layout.py.

The file that a chip reads is thus checked against two writers that share no code.
"""

import hashlib
import json
import os

from firmware.compute import shard
from firmware.compute.shard import load_weights
from tests.firmware.plain import (
    EXP_TABLE,
    SIGMOID_TABLE,
    Blocks,
    PlainInt8Kernels,
    PlainKernels,
    bit_length,
    u16_buffer,
)

# It takes the whole heap for a moment, which is slow in a large one; test_heap_viper.py tests it.
shard.filler = lambda size: None

MODEL_HASH = bytes(range(0x10, 0x18))
WIDEST = 7  # columns of a block: so that the tiny matrices have several
# The checkout's build folder, which git ignores. MicroPython has no tempfile.
_BUILD = __file__.rsplit("/", 3)[0] + "/build"


class Part:
    """What chip `chip` of `chips` owns of a tiny model: heads dealt, units and rows in blocks."""

    def __init__(self, model, chip=0, chips=1):
        group = model.heads // model.kv_heads
        self.chip, self.chips = chip, chips
        self.heads = [h for h in range(model.heads) if h // group % chips == chip]
        self.kv_heads = [g for g in range(model.kv_heads) if g % chips == chip]
        self.units = _block(model.units, chip, chips)
        self.rows = _block(model.rows, chip, chips)


def _block(total, index, count):
    return range(total * index // count, total * (index + 1) // count)


def header(model, part, combine=False):
    """The header's numbers by name; combine: whether chips add up their partial sums."""
    widest = bit_length(127 * 32767 * max(model.dim, model.units)) + 1
    numbers = {"cache": 8} if model.int8_kv else {}
    numbers.update({
        "model": "".join("%02x" % byte for byte in MODEL_HASH),
        "chip": part.chip,
        "members": list(range(part.chips)),
        "first_layer": 0,
        "next": [],
        "slots": 1,
        "columns": 1,
        "has_norms": combine,
        "dim": model.dim,
        "head_dim": model.head_dim,
        "total_heads": model.heads,
        "total_kv_heads": model.kv_heads,
        "heads": part.heads,
        "kv_heads": part.kv_heads,
        "units": len(part.units),
        "rows": len(part.rows),
        "first_row": part.rows[0] if len(part.rows) else 0,
        "context": model.context,
        "positions": model.positions,
        "bits": widest,
        "rope": model.rope,
        "logit_shift": model.classifier.shift,
        "logit_exponent": model.logit_exponent,
        "final_norm": model.final_norm.numbers(),
        "layers": [layer.numbers() for layer in model.layers],
    })  # fmt: skip
    return numbers


def file_of(model, part, version=4, combine=False, **changes):
    """The bytes of a shard file; `changes` replace numbers in its header."""
    numbers = header(model, part, combine)
    numbers.update(changes)
    text = json.dumps(numbers).encode()
    text += b" " * (-len(text) % 4)
    body = bytearray(b"FEDSHARD")
    body += version.to_bytes(2, "little") + bytes(2) + len(text).to_bytes(4, "little") + text
    body += u16_buffer(EXP_TABLE) + u16_buffer(SIGMOID_TABLE)
    classifier = model.classifier
    rows = stored(_rows(classifier, part.rows))
    in_flash, matrices, places = "block" in numbers, bytearray(), []
    for layer in model.layers:
        multipliers, weights = _layer(model, layer, part)
        body += multipliers
        if in_flash:
            places.append((len(body), len(matrices) - len(multipliers)))
            body += bytes(4)
            for matrix in weights:
                matrices += _padded(matrix)
        else:
            whole = bytearray()
            for matrix in weights:
                whole += matrix
            body += whole + bytes(-(len(multipliers) + len(whole)) % 4)
        if combine:
            body += u16_buffer(layer.attention_norm.stored() + layer.o.multipliers)
            body += u16_buffer(layer.feed_forward_norm.stored() + layer.down.multipliers)
    if combine:
        body += u16_buffer(model.final_norm.stored())
    body += _multipliers(classifier, part.rows)
    if in_flash:
        places.append((len(body), len(matrices) - 2 * len(part.rows)))
        body += bytes(4)
        body += bytes(-len(body) % 16)
        for at, place in places:
            body[at : at + 4] = (len(body) + place).to_bytes(4, "little")
        body += matrices + _padded(rows)
    else:
        body += rows + bytes(-(2 * len(part.rows) + len(rows)) % 4)
    return bytes(body) + hashlib.sha256(body).digest()


def _layer(model, layer, part):
    """A layer's multipliers, and its matrices in order."""
    size = model.head_dim
    q = [head * size + i for head in part.heads for i in range(size)]
    kv = [head * size + i for head in part.kv_heads for i in range(size)]
    multipliers = bytearray()
    for matrix, rows in ((layer.q, q), (layer.k, kv), (layer.v, kv)):
        multipliers += _multipliers(matrix, rows)
    multipliers += _multipliers(layer.gate, part.units) + _multipliers(layer.up, part.units)
    return multipliers, [
        stored(_rows(layer.q, q) + _rows(layer.k, kv) + _rows(layer.v, kv)),
        stored([[row[c] for c in q] for row in layer.o.rows]),
        stored(_rows(layer.gate, part.units) + _rows(layer.up, part.units)),
        stored([[row[c] for c in part.units] for row in layer.down.rows]),
    ]


def _multipliers(matrix, rows):
    return u16_buffer([matrix.multipliers[row] for row in rows])


def _rows(matrix, rows):
    return [matrix.rows[row] for row in rows]


def stored(rows):
    """Block after block of columns, row-major in each, 128 added to each weight."""
    if not rows or not rows[0]:
        return bytearray()
    stored = bytearray()
    for first, count in Blocks(WIDEST).edges(len(rows[0])):
        for row in rows:
            stored += bytes(weight + 128 for weight in row[first : first + count])
    return stored


def _padded(block):
    return block + bytes(-len(block) % 4)


def in_file(data, function, *arguments):
    """What function(path, *arguments) gives for a file with these bytes, which is then removed."""
    try:
        os.mkdir(_BUILD)
    except OSError:
        pass  # it is there
    path = "%s/%s.bin" % (_BUILD, "".join("%02x" % byte for byte in os.urandom(8)))
    with open(path, "wb") as file:
        file.write(data)
    try:
        return function(path, *arguments)
    finally:
        os.remove(path)


def weights_of(model, part, combine=False, **changes):
    """The Weights that a chip loads for its part; `changes` replace numbers in the header."""
    return in_file(file_of(model, part, combine=combine, **changes), load_weights, part.chip)


def kernels_of(model):
    """Plain kernels for the blocks in which `file_of` stores matrices."""
    made = PlainInt8Kernels if model.int8_kv else PlainKernels
    return made(model.head_dim, WIDEST)
