"""File systems made on the host, which MicroPython mounts."""

import binascii
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.errors import FlashError
from host.flashing.filesystem_image import BLOCK, make_filesystem, used_segments

FILES = {
    "main.py": b"print(1)\n",
    "firmware/node.mpy": bytes(range(256)) * 20,
    "shard.bin": b"w" * 70_000,
    "empty": b"",
}
# Mounts the image in a file, then prints each file's path, size and checksum, and writes one.
MOUNT = """
import binascii, os, sys, vfs
class Flash:
    def __init__(self, path, blocks):
        self.file, self.blocks = open(path, "r+b"), blocks
    def readblocks(self, block, buffer, offset=0):
        self.file.seek(block * 4096 + offset)
        self.file.readinto(buffer)
    def writeblocks(self, block, buffer, offset=0):
        self.file.seek(block * 4096 + offset)
        self.file.write(buffer)
    def ioctl(self, operation, argument):
        return self.blocks if operation == 4 else 4096 if operation == 5 else 0
vfs.mount(vfs.VfsLfs2(Flash(sys.argv[1], int(sys.argv[2]))), "/flash")
def walk(folder):
    for name, kind, *_ in os.ilistdir("/flash" + folder):
        if kind & 0x4000:
            walk(folder + "/" + name)
        else:
            with open("/flash" + folder + "/" + name, "rb") as file:
                data = file.read()
            print((folder + "/" + name)[1:], len(data), binascii.crc32(data))
walk("")
with open("/flash/later", "wb") as file:
    file.write(b"x" * 50000)
with open("/flash/later", "rb") as file:
    assert file.read() == b"x" * 50000
"""


def mounted(micropython, path):
    """What MicroPython finds in an image: size and CRC-32 by path."""
    blocks = path.stat().st_size // BLOCK
    command = [micropython, "-X", "heapsize=1M", "-c", MOUNT, path, str(blocks)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    entries = map(str.split, printed.splitlines())
    return {name: (int(size), int(crc)) for name, size, crc in entries}


@pytest.mark.parametrize("holes", [b"\xff", b"?"], ids=["erased", "used before"])
def test_micropython_finds_every_file(micropython, tmp_path, holes):
    image = make_filesystem(FILES, 1 << 20)
    flash = bytearray(holes * len(image))
    for offset, content in used_segments(image):
        assert offset % BLOCK == len(content) % BLOCK == 0
        flash[offset : offset + len(content)] = content
    path = tmp_path / "flash.img"
    path.write_bytes(flash)
    expected = {name: (len(data), binascii.crc32(data)) for name, data in FILES.items()}
    assert mounted(micropython, path) == expected


def test_the_same_files_give_the_same_image():
    assert make_filesystem(FILES, 1 << 20) == make_filesystem(dict(FILES), 1 << 20)


@given(used=st.sets(st.integers(0, 99), min_size=1))
@settings(max_examples=50)
def test_the_parts_in_use_are_all_of_it(used):
    image = b"".join((b"u" if block in used else b"\xff") * BLOCK for block in range(100))
    rebuilt = bytearray(b"\xff" * len(image))
    end = -1
    for offset, content in used_segments(image):
        assert offset > end
        end = offset + len(content)
        rebuilt[offset:end] = content
    assert rebuilt == image


def test_files_that_do_not_fit_are_told_in_kilobytes():
    with pytest.raises(FlashError, match="the file system has 64 KB, too little for 74 KB of fil"):
        make_filesystem(FILES, 64 * 1024)
