"""Loads a shard whose matrices stay in a flash partition; firmware/compute/blocks.py reads them.

protocol/flash_layout.py describes the layout. This module is unloaded when the shard is loaded.
Flashing may have been interrupted, or the partition may hold the shard of another chip or of an
earlier plan: the configuration says which shard it must be, by size and SHA-256.
"""

import hashlib
import sys
from binascii import hexlify

import esp32

from firmware.compute import shard, shard_sizes
from firmware.compute.blocks import Blocks
from firmware.compute.shard import ShardError
from firmware.heap import filler
from protocol.compat import const
from protocol.fields import u32
from protocol.flash_layout import PLACE_SIZE, matrix_bytes, spread
from protocol.shard_layout import (
    DIGEST_SIZE,
    LAYER_END,
    QKV_WEIGHTS,
    VECTORS,
    VOCABULARY_END,
    VOCABULARY_WEIGHTS,
)

_SECTOR_BITS = const(12)  # Partition.readblocks counts in blocks of 4,096 bytes
_SECTOR = const(4095)
# Bytes that entries of the dictionaries in Blocks take for each matrix while these grow: tables
# that are too large for the gaps below go where matrices do.
_ENTRIES = const(96)
_SIZE = const(3)  # the index of the size in what Partition.info returns


def load_weights(settings, chip_id):
    """Loads and returns the Weights in a partition, and has the kernels read matrices from there.

    settings: a dict from the configuration: label of the partition, size of the shard in bytes,
    its sha256 in hexadecimal, bytes of a block; where there are others than two of a block each,
    `buffers`: their number, and the bytes of each; where some matrices shall stay in the heap,
    `resident`: the bytes for these, and `rows`: whether the vocabulary's comes first; `several`,
    where the positions of a request are to be computed together; and where kernels shall read the
    partition in place, `map`: for map_weights in firmware/compute/mapping.py. Raises the errors
    of `load_blocks`.
    """
    weights, blocks = load_blocks(settings, chip_id)
    from firmware.compute import model_kernels

    room, matvec = settings.get("resident", 0), model_kernels.MATVEC
    is_placed = keep_matrices(blocks, weights, matvec, room, settings.get("rows"))
    blocks.install(model_kernels)
    weights.blocks = blocks
    if is_placed:
        weights.on_idle = None  # there is nothing to read ahead
        if "firmware.compute.placed" in sys.modules:
            blocks.kernels = _kernels_of(blocks, matvec, model_kernels.MATVEC)
    if settings.get("several"):
        from firmware.compute.several import Several

        weights.all = Several
    return weights


def load_blocks(settings, chip_id):
    """Returns the Weights, which must be those of chip `chip_id`, and the Blocks that read them.

    Raises the errors of firmware.compute.shard.load_weights, and ShardError for a partition that
    is missing, too small, or holds another shard.
    """
    name = "the partition " + settings["label"]
    whole = shard_sizes.places_in_layer
    shard.places_in_layer = shard_sizes.places_in_layer = places_in_layer
    try:
        file = PartitionFile(settings)
        blocks = Blocks(file.partition, settings["block"], *settings.get("buffers", ()))
        digest = "map" in settings and _map(settings, file, blocks)
        weights = shard.load(file, chip_id, digest or _verify(file, settings, blocks.buffers[0]))
    except OSError as error:
        reason = "%s: %s: flash this chip again" % (name, error)
    except ShardError as error:
        reason = "%s: %s" % (name, error)
    else:
        weights.on_idle = blocks.after
        return weights, blocks
    finally:
        shard.places_in_layer = shard_sizes.places_in_layer = whole
    raise ShardError(reason)  # outside the handler: MicroPython has no chained exceptions


def keep_matrices(blocks, weights, matvec, room, rows_first=False):
    """Reads into the heap as many matrices as fit into `room` bytes, and tells `blocks` which are
    left: those of attention are kept first, then those of feed-forward layers, of some layers all
    over the model, then the vocabulary's. Others are used where they are mapped.

    matvec: MATVEC of the module with the kernels; rows_first: whether the vocabulary's is kept
    before all others, for chips that wait for each other read nothing of it ahead. Returns
    whether no matrix is read in blocks.
    """
    layout, places = weights.layout, weights.places
    padding, block = layout["columns"], layout["block"]
    at = u32(weights.vocabulary, len(weights.vocabulary) - PLACE_SIZE)
    vocabulary = at + places[VOCABULARY_WEIGHTS], layout["rows"], layout["dim"]
    found = []
    layers, shapes = spread(len(weights.layers)), shard_sizes.layer_matrices(layout)
    for parts in ((0, 1), (2, 3)):
        for i in layers:
            buffer = weights.layers[i].weights
            at = u32(buffer, len(buffer) - PLACE_SIZE)
            for part in parts:
                found.append((at + places[QKV_WEIGHTS + part],) + shapes[part])
    found.insert(0 if rows_first else len(found), vocabulary)
    kept, streamed, mapped, left = [], [], blocks.mapped, room
    for place, rows, columns in found:
        size = matrix_bytes(rows, columns, padding, block)
        firsts = size and [rows * part[0] for part in matvec[columns]]
        if 0 < size <= left:
            kept.append((place, size, firsts))
            left -= size
        elif size and place + size <= len(mapped):
            kept.append((place, size, firsts, mapped))
        elif size:
            # With negative columns, in groups, there is one part, of all of them (blocks.py).
            streamed += [
                (place + rows * first, rows, min(columns, count))
                for first, count, _ in matvec[columns]
            ]
    below = filler(room + _ENTRIES * len(kept)) if room else None
    for each in kept:
        blocks.keep(*each)
    del below
    streamed.sort()
    blocks.order(padding, streamed)
    if not streamed:
        blocks.buffers = ()
    return not streamed


def _kernels_of(blocks, matvec, made):
    """Returns what Blocks.kernels describes; matvec, made: MATVEC before and after `install`."""
    kernels, padding = {}, blocks._padding
    for columns, parts in matvec.items():
        for (_, count, kernel), (_, _, multiply) in zip(parts, made[columns]):
            at_once, size, _ = blocks._in_chunk(min(columns, count))
            if padding != VECTORS and columns > 0:  # rows are stored the same in any block
                at_once = 0
            kernels[multiply] = kernel, at_once, size
    return kernels


def _map(settings, file, blocks):
    """Returns the digest of the file, verified where it is mapped, None if nothing is mapped."""
    from firmware.compute.mapping import map_weights

    def verify(file):
        return _verify(file, settings, blocks.buffers[0])

    digest = map_weights(settings, file, blocks.buffers, verify)
    blocks.mapped = file.mapped
    for package, name in (("firmware.compute", "mapping"), ("firmware", "kernel_choice")):
        if sys.modules.pop(package + "." + name, None):
            delattr(sys.modules[package], name)
    return digest


def places_in_layer(layout):
    """Returns offsets as places_in_layer of firmware/compute/shard_sizes.py does, except that the
    ends are those of what goes into the heap: the multipliers, and where the matrices are."""
    places = _whole_places(layout)
    at = places[QKV_WEIGHTS]
    for i, (rows, columns) in enumerate(shard_sizes.layer_matrices(layout)):
        places[QKV_WEIGHTS + i] = at
        at += matrix_bytes(rows, columns, layout["columns"], layout["block"])
    places[LAYER_END] = places[QKV_WEIGHTS] + PLACE_SIZE
    places[VOCABULARY_END] = places[VOCABULARY_WEIGHTS] + PLACE_SIZE
    return places


_whole_places = shard_sizes.places_in_layer


def _verify(file, settings, buffer):
    """Returns the SHA-256 at the end of the file.

    Raises ShardError unless it matches the bytes before it, and that of the settings.
    """
    file.seek(file.size - DIGEST_SIZE)
    digest = file.read()
    if hexlify(digest).decode() != settings["sha256"]:
        raise ShardError(
            "it does not have this chip's shard whole: flashing was interrupted, or was of another"
            " plan; flash this chip again"
        )
    hashed = hashlib.sha256()
    view = memoryview(buffer)
    left = file.seek(0, 2) - DIGEST_SIZE
    file.seek(0)
    while left > 0:
        count = min(left, len(view))
        file.readinto(view[:count])
        hashed.update(view[:count])
        left -= count
    if hashed.digest() != digest:
        raise ShardError("SHA-256 of the shard is wrong: flash this chip again")
    return digest


class PartitionFile:
    """A shard in a partition, with the methods of a file that firmware/compute/shard.py calls.

    partition: the esp32.Partition; size: bytes of the shard; mapped: those of the partition that
    are mapped, from the first on.
    """

    mapped = b""

    def __init__(self, settings):
        """Raises OSError for a partition that is missing or too small."""
        partitions = esp32.Partition
        found = partitions.find(partitions.TYPE_DATA, label=settings["label"])
        if not found:
            raise OSError("there is no such partition")
        self.partition, self.size = found[0], settings["size"]
        room = self.partition.info()[_SIZE]
        if room < self.size:
            raise OSError("it has %d bytes, and the shard %d" % (room, self.size))
        self.seek(0)

    def seek(self, offset, whence=0):
        """Sets and returns the offset to read from: `offset`, from the end if `whence` is 2."""
        self._at = offset + (self.size if whence else 0)
        return self._at

    def readinto(self, buffer):
        """Fills the buffer, at most to the end of the shard; returns the number of bytes read."""
        count = min(len(buffer), self.size - self._at)
        if count > 0:
            view = buffer if count == len(buffer) else memoryview(buffer)[:count]
            if self._at + count <= len(self.mapped):
                view[:] = memoryview(self.mapped)[self._at : self._at + count]
            else:
                self.partition.readblocks(self._at >> _SECTOR_BITS, view, self._at & _SECTOR)
            self._at += count
        return max(count, 0)

    def read(self):
        """Returns all bytes that are left, which should be few."""
        rest = bytearray(self.size - self._at)
        self.readinto(rest)
        return bytes(rest)
