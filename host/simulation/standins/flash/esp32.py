# mypy: ignore-errors
"""Stand-in for the parts of MicroPython's `esp32` that firmware uses, on a simulated chip whose
weights stay in flash: one data partition, which is a file of its size.

Chips whose weights lie in the heap do not get this module, because it would take heap.
"""

import os

from micropython import const

# The file that holds the partition (on a stand-in board: the flash), the offset of the partition
# in it, and its size. Names are reused and nothing is kept twice: that would take heap that a
# board does not need.
_FILE, _FIRST, _SIZE = (os.getenv("FEDERATION_PARTITION") or "partition.bin 0 0").split()
_FIRST = int(_FIRST)
_SIZE = int(_SIZE) or os.stat(_FILE)[6]
# Opened now: when its program runs, a stand-in board has another file system.
_FILE = open(_FILE, "r+b")
_LABEL = "weights"
_ADDRESS = const(0x280000)
# Of a chip that may map the partition alone: has pages appear where its MMU's table says so.
_follow_table = None
if os.getenv("FEDERATION_MMU"):
    import _mmu

    _follow_table = _mmu.start(_FILE, _FIRST, _SIZE, _ADDRESS)
del os
_SUBTYPE = const(0x06)
_EIO = const(5)


HEAP_DATA = const(4)


def idf_heap_info(capabilities):
    """Raises ImportError: there is no heap of ESP-IDF, and firmware then acts as without
    `esp32`."""
    raise ImportError("no ESP-IDF")


class Partition:
    """A partition of the flash, in blocks of 4,096 bytes."""

    TYPE_APP = 0
    TYPE_DATA = 1

    def __init__(self, label):
        if label != _LABEL:
            raise OSError(2)

    @staticmethod
    def find(type=TYPE_APP, subtype=0xFF, label=None, block_size=4096):
        """Returns the partitions of this type and label."""
        if type != Partition.TYPE_DATA or subtype not in (0xFF, _SUBTYPE):
            return []
        return [Partition(_LABEL)] if label in (None, _LABEL) else []

    def info(self):
        """Returns type, subtype, address, size, label, and whether it is encrypted."""
        return (self.TYPE_DATA, _SUBTYPE, _ADDRESS, _SIZE, _LABEL, False)

    def readblocks(self, block_num, buf, offset=0):
        """Fills the buffer from the block `block_num` on, `offset` bytes behind its start."""
        if _follow_table:
            _follow_table()
        self._seek(block_num, buf, offset)
        if _FILE.readinto(buf) != len(buf):
            raise OSError(_EIO)

    def writeblocks(self, block_num, buf, offset=None):
        """Writes there, as flash does; without an offset the blocks are erased before."""
        self._seek(block_num, buf, offset or 0)
        if offset is not None:
            held = bytearray(len(buf))
            self.readblocks(block_num, held, offset)
            buf = bytes(a & b for a, b in zip(held, buf))
            self._seek(block_num, buf, offset)
        _FILE.write(buf)
        _FILE.flush()

    def ioctl(self, op, arg):
        """Returns the number of blocks (op 4) or the bytes of one (5), or erases one (6)."""
        if op == 4:
            return _SIZE // 4096
        if op == 5:
            return 4096
        if op == 6:
            self.writeblocks(arg, b"\xff" * 4096)
        return 0

    def _seek(self, block_num, buf, offset):
        place = 4096 * block_num + offset
        if not 0 <= place <= _SIZE - len(buf):
            raise OSError(-258, "ESP_ERR_INVALID_SIZE")
        _FILE.seek(_FIRST + place)
