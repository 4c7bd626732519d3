"""A flash partition in memory, and chips whose matrices stay in it."""

import hashlib
import sys

from firmware.compute import shard
from tests.firmware.plain import PlainKernels
from tests.firmware.shards import WIDEST

SECTOR = 4096


class MemoryPartition:
    """What esp32.Partition offers, over bytes. reads: (place, bytes) of each reading."""

    TYPE_APP, TYPE_DATA = 0, 1
    found = ()  # those that there are

    def __init__(self, content, size=0, label="weights"):
        self.content = bytes(content) + b"\xff" * max(0, size - len(content))
        self.label = label
        self.reads = []

    @staticmethod
    def find(type=0, subtype=0xFF, label=None, block_size=SECTOR):
        return [each for each in MemoryPartition.found if type == 1 and each.label == label]

    def info(self):
        return (1, 0x40, 0x240000, len(self.content), self.label, False)

    def readblocks(self, block, buffer, offset=0):
        place = SECTOR * block + offset
        if not 0 <= place <= len(self.content) - len(buffer):
            raise OSError(-258)
        buffer[:] = self.content[place : place + len(buffer)]
        self.reads.append((place, len(buffer)))


class _Esp32:
    Partition = MemoryPartition


def has_partitions(*partitions):
    """Has these be the partitions of the chip; the module that opens them.

    Other modules find no esp32, as where there is none.
    """
    MemoryPartition.found = partitions
    sys.modules["esp32"] = _Esp32
    try:
        from firmware.compute import partition
    finally:
        del sys.modules["esp32"]
    partition.filler = shard.filler  # for the reason that tests/firmware/shards.py gives
    return partition


def settings_of(content, block=64):
    """What a chip's configuration says of a shard with this content."""
    digest = hashlib.sha256(content[:-32]).digest()
    return {
        "label": "weights",
        "size": len(content),
        "sha256": "".join("%02x" % byte for byte in digest),
        "block": block,
    }


class FlashKernels(PlainKernels):
    """Plain kernels whose matrices are those of a module: a dictionary, which can be replaced."""

    def __init__(self, head_dim, columns):
        super().__init__(head_dim, WIDEST)
        blocks = self.MATVEC
        self.MATVEC = {count: blocks[count] for count in columns}
