"""Puts our partition table into MicroPython's image: its own partitions, a small file system, and
the rest of the flash for weights.

Layout: ESP-IDF's "Partition Tables". MicroPython's applications stay where they are. The file
system comes before the weights, because MicroPython would extend a last file system over all of
the flash behind it. The weights begin at a multiple of 64 KB, so that they can be mapped.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from host.errors import FlashError
from host.flashing.firmware_image import ENTRY, ENTRY_MAGIC, TABLE, FirmwareImage, Partition
from host.hardware.board import FILESYSTEM, PAGE, Board

LABEL = "weights"
_DATA, _FAT, _UNDEFINED = 1, 0x81, 0x06  # type, and subtypes of data
_MD5_MAGIC = b"\xeb\xeb" + b"\xff" * 14
_TABLE_SIZE = 0xC00
_SECTOR = 0x1000


def add_weights(image: FirmwareImage, board: Board, flash_size: int) -> FirmwareImage:
    """Returns the image with a partition for weights, on a flash of `flash_size` bytes. Raises
    FlashError if that is smaller than the board's file says."""
    assert board.flash is not None
    if flash_size < board.flash.size:
        raise FlashError(
            f"the board has {flash_size >> 20} MB of flash, and {board.name} has"
            f" {board.flash.size >> 20}: name the board that it is, or --weights heap"
        )
    place = TABLE - board.flash.offset
    entries, kept = [], []
    for partition in image.partitions:
        entry = image.content[place : place + ENTRY.size]
        place += ENTRY.size
        if partition.name != "vfs":
            entries.append(entry)
            kept.append(partition)
    end = max(part.offset + part.size for part in kept)
    end += -end % _SECTOR
    begin = end + FILESYSTEM
    begin += -begin % PAGE
    own = (
        Partition("vfs", end, begin - end),
        Partition(LABEL, begin, board.flash.size - begin),
    )
    for partition, subtype in zip(own, (_FAT, _UNDEFINED), strict=True):
        entries.append(_entry(partition, subtype))
    table = b"".join(entries)
    table += _MD5_MAGIC + hashlib.md5(table).digest()
    table += b"\xff" * (_TABLE_SIZE - len(table))
    first = TABLE - board.flash.offset
    content = image.content[:first] + table + image.content[first + len(table) :]
    return replace(image, content=content, partitions=(*kept, *own))


def find_weights(image: FirmwareImage) -> Partition:
    """Returns the partition for weights in an image that has one."""
    return next(part for part in image.partitions if part.name == LABEL)


def _entry(partition: Partition, subtype: int) -> bytes:
    name = partition.name.encode()
    return ENTRY.pack(ENTRY_MAGIC, _DATA, subtype, partition.offset, partition.size, name, 0)
