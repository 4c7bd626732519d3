# mypy: ignore-errors
"""Mounts the emulated board's flash: littlefs, as on a board, in memory beside the heap.

What is written there outlives soft resets, and is gone when QEMU ends.
"""

import os

import micropython
import vfs
from micropython import const

_FLASH = 0x81000000  # where QEMU has loaded the image to; see bench/qemu/boards.py
_SIZE = const(0x200000)
_BLOCK = const(4096)
_COUNT_OF_BLOCKS = const(4)
_SIZE_OF_BLOCK = const(5)
_ERASE = const(6)


@micropython.viper
def _read(base: int, start: int, buffer: ptr8, size: int):
    flash = ptr8(base + start)
    for at in range(size):
        buffer[at] = flash[at]


@micropython.viper
def _write(base: int, start: int, buffer: ptr8, size: int):
    flash = ptr8(base + start)
    for at in range(size):
        flash[at] = buffer[at]


class Flash:
    """The block device, as esp32.Partition is one: as that does in C, it leaves no garbage."""

    def readblocks(self, block, buffer, offset=0):
        """Reads what follows the start of a block into the buffer."""
        _read(_FLASH, block * _BLOCK + offset, buffer, len(buffer))

    def writeblocks(self, block, buffer, offset=0):
        """Writes the buffer there."""
        _write(_FLASH, block * _BLOCK + offset, buffer, len(buffer))

    def ioctl(self, operation, argument):
        """Reports the number of blocks and their length; there is nothing to erase."""
        if operation == _COUNT_OF_BLOCKS:
            return _SIZE // _BLOCK
        if operation == _SIZE_OF_BLOCK:
            return _BLOCK
        return 0 if operation == _ERASE else None


vfs.mount(vfs.VfsLfs2(Flash(), mtime=False), "/")
os.chdir("/")
