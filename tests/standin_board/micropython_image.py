"""An image of MicroPython for a stand-in board: laid out as an official one, with no code in it.

Bootloader header, partition table (ESP-IDF's "Partition Tables") and an app that says which
MicroPython it is. The stand-in board reads all three; what it then runs is a MicroPython process.
"""

import hashlib
import random
import struct

from esptool.targets import CHIP_DEFS
from littlefs import LittleFS

from tests.standin_board.flash_chip import SECTOR

TABLE, APP = 0x8000, 0x10000  # places in flash
_MAGIC = 0xE9
_APP_TYPE, _FACTORY, _DATA_TYPE, _FAT = 0, 0, 1, 0x81
_APP_SIZE, _DIGEST = 64 * 1024, 32
_BANNER = b"3.4.0; MicroPython v"


def micropython_image(board, version="1.27.0", end=None, vfs=None):
    """The file to write at board.flash.offset.

    end: of the app's partition (default: where the board's file system begins); vfs: offset and
    size of a file system's partition, of which new releases have none: theirs is what the app
    leaves of the flash.
    """
    chip_id = CHIP_DEFS[board.chip].IMAGE_CHIP_ID
    end = end or board.flash.filesystem_offset
    image = bytearray(b"\xff" * (APP - board.flash.offset))
    image[:24] = _header(chip_id)
    partitions = [("nvs", 1, 2, 0x9000, 0x6000), ("phy_init", 1, 1, 0xF000, 0x1000),
                  ("factory", _APP_TYPE, _FACTORY, APP, end - APP)]  # fmt: skip
    if vfs:
        partitions.append(("vfs", _DATA_TYPE, _FAT, *vfs))
    table = partition_table(partitions)
    image[TABLE - board.flash.offset : TABLE - board.flash.offset + len(table)] = table
    return bytes(image) + _app(chip_id, version)


def partition_table(partitions):
    """(name, type, subtype, offset, size) each, and ESP-IDF's MD5 of them."""
    entries = b"".join(
        struct.pack("<HBBII16sI", 0x50AA, kind, subtype, offset, size, name.encode(), 0)
        for name, kind, subtype, offset, size in partitions
    )
    return entries + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(entries).digest()


def _header(chip_id):
    """ESP-IDF's esp_image_header_t: flash settings of no meaning here, and the kind of chip."""
    return struct.pack("<BBBBIB3sHB8sB", _MAGIC, 3, 2, 0x20, 0, 0xEE, bytes(3), chip_id, 0,
                       bytes(8), 1)  # fmt: skip


def _app(chip_id, version):
    content = _header(chip_id) + _BANNER + version.encode() + b" on 2025-12-09\0"
    content += random.Random(version).randbytes(_APP_SIZE - len(content))
    return content + hashlib.sha256(content).digest()


def version_in(flash):
    """The version of the MicroPython in a FlashChip, None where none would start."""
    app = flash.read(APP, _APP_SIZE + _DIGEST)
    content, digest = app[:_APP_SIZE], app[_APP_SIZE:]
    if app[:1] != bytes([_MAGIC]) or hashlib.sha256(content).digest() != digest:
        return None
    return content[24 + len(_BANNER) :].split(b" ")[0].decode()


def filesystem_in(flash):
    """Offset and size of the file system, as MicroPython's boardctrl_startup finds it."""
    end, place = 0, TABLE
    while (entry := flash.read(place, 32))[:2] == b"\xaa\x50":
        _, _, _, offset, size, name, _ = struct.unpack("<HBBII16sI", entry)
        if name.rstrip(b"\0") == b"vfs":
            return offset, size
        end, place = max(end, offset + size), place + 32
    return end, flash.size - end


def weights_in(flash):
    """Offset and size of the partition for weights, None where there is none."""
    place = TABLE
    while (entry := flash.read(place, 32))[:2] == b"\xaa\x50":
        _, _, _, offset, size, name, _ = struct.unpack("<HBBII16sI", entry)
        if name.rstrip(b"\0") == b"weights":
            return offset, size
        place += 32
    return None


def read_files(image):
    """Content by path, of a littlefs image."""
    littlefs = LittleFS(block_size=SECTOR, block_count=len(image) // SECTOR, mount=False)
    littlefs.context.buffer = bytearray(image)
    littlefs.mount()
    found = {}
    for folder, _, names in littlefs.walk("/"):
        for name in names:
            path = f"{folder}/{name}".lstrip("/")
            with littlefs.open(path, "rb") as file:
                found[path] = file.read()
    return found
