"""Reads MicroPython's image for a board: its chip and version, and where it has room for files.

Layouts: ESP-IDF's "App Image Format" (the header) and "Partition Tables".
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from esptool.targets import CHIP_DEFS

from host.errors import FlashError
from host.hardware.board import Board

OLDEST_VERSION = (1, 26)
Version = tuple[int, int, int]

_MAGIC = 0xE9
_CHIP_ID = 12  # place of a u16 in the image's header
TABLE = 0x8000  # place of the partition table in flash
ENTRY = struct.Struct("<HBBII16sI")
ENTRY_MAGIC = 0x50AA
# The banner of the REPL, with which sys.version begins too.
_BANNER = re.compile(rb"MicroPython v(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True)
class Partition:
    """A range of the flash, in bytes."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class FirmwareImage:
    """A MicroPython that can be written to a board, at its flash.offset."""

    path: Path
    content: bytes
    version: Version
    partitions: tuple[Partition, ...]

    def filesystem(self, flash_size: int) -> Partition:
        """Returns where MicroPython will look for its files on a flash chip of `flash_size` bytes.

        As in its boardctrl_startup (ports/esp32/main.c), that is the partition "vfs", or else
        everything behind the last partition. Raises FlashError if the chip is too small.
        """
        end = max(part.offset + part.size for part in self.partitions)
        vfs = next((part for part in self.partitions if part.name == "vfs"), None)
        if vfs is None:
            vfs = Partition("vfs", end, flash_size - end)
        if end > flash_size or vfs.size <= 0:
            raise FlashError(
                f"{self.path.name} takes {end // 1024} KB of flash, and the board has"
                f" {flash_size // 1024}: take the image for a smaller flash, by FIRMWARE="
            )
        return vfs


def read_image(path: Path, board: Board) -> FirmwareImage:
    """Reads the image in a file. Raises FlashError unless it is a new enough MicroPython for the
    board's chip."""
    assert board.flash is not None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FlashError(f"cannot read {path}: {error.strerror}") from None
    if len(content) < _CHIP_ID + 2 or content[0] != _MAGIC:
        raise FlashError(f"{path} is not an image for an ESP32: take MicroPython's .bin")
    _check_chip(path, content, board)
    partitions = _partitions(content[TABLE - board.flash.offset :])
    version = _version(content)
    if not partitions or version is None:
        raise FlashError(
            f"{path} is not a complete image of MicroPython: take the .bin, not the .app-bin"
        )
    check_version(version, str(path))
    if any(part.name == "ffat" for part in partitions):
        raise FlashError(f"{path} keeps its files in FAT, and littlefs is needed")
    return FirmwareImage(path, content, version, partitions)


def check_version(version: Version, where: str) -> None:
    """Raises FlashError if this MicroPython is too old."""
    if version[:2] < OLDEST_VERSION:
        raise FlashError(
            f"MicroPython {'.'.join(map(str, version))} on {where}: 1.26 or later is needed,"
            " for 1.25 compiles wrong code for Xtensa"
        )


def _check_chip(path: Path, content: bytes, board: Board) -> None:
    number = int.from_bytes(content[_CHIP_ID : _CHIP_ID + 2], "little")
    kinds = {kind.IMAGE_CHIP_ID: name for name, kind in CHIP_DEFS.items()}
    found = kinds.get(number, f"chip {number}")
    if found != board.chip:
        raise FlashError(f"{path} is an image for {found}, and {board.name} has an {board.chip}")


def _partitions(table: bytes) -> tuple[Partition, ...]:
    """Returns the entries of a partition table, none if there is no table."""
    found = []
    for place in range(0, len(table) - ENTRY.size, ENTRY.size):
        magic, _, _, offset, size, name, _ = ENTRY.unpack_from(table, place)
        if magic != ENTRY_MAGIC:
            break
        found.append(Partition(name.rstrip(b"\0").decode(errors="replace"), offset, size))
    return tuple(found)


def _version(content: bytes) -> Version | None:
    match = _BANNER.search(content)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None
