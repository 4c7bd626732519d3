"""The partition table with room for weights, and what is written of these."""

import pytest

from host.errors import FlashError
from host.flashing import esptool
from host.flashing.esptool import Segment
from host.flashing.firmware_image import read_image
from host.flashing.flashing import count_seconds, flash_segments
from host.flashing.partition_table import add_weights, find_weights
from host.hardware.board import FILESYSTEM
from host.hardware.boards import load
from tests.standin_board.micropython_image import micropython_image

NAMES = ("esp32s3-n16r8", "esp32s3", "esp32c3", "esp32")
CONFIG = b'{"weights": {}}'


def image_of(tmp_path, board, **options):
    path = tmp_path / "image.bin"
    path.write_bytes(micropython_image(board, **options))
    return read_image(path, board)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("has_vfs", [False, True])
def test_weights_have_all_behind_a_small_file_system(tmp_path, name, has_vfs):
    board = load(name)
    vfs = (board.flash.filesystem_offset, 0x100000) if has_vfs else None
    image = image_of(tmp_path, board, vfs=vfs)
    made = add_weights(image, board, board.flash.size)
    own = [part for part in image.partitions if part.name != "vfs"]
    assert made.partitions[:-2] == tuple(own)
    region, weights = made.filesystem(board.flash.size), find_weights(made)
    assert (region.offset, region.size) == (board.flash.filesystem_offset, FILESYSTEM)
    assert weights.offset == region.offset + FILESYSTEM and weights.size == board.weights_room
    assert weights.offset + weights.size == board.flash.size
    # Read again, the table says so; nothing else of the image has changed.
    (tmp_path / "made.bin").write_bytes(made.content)
    assert read_image(tmp_path / "made.bin", board).partitions == made.partitions
    at = 0x8000 - board.flash.offset
    assert made.content[:at] == image.content[:at]
    assert made.content[at + 0xC00 :] == image.content[at + 0xC00 :]


def test_a_flash_that_is_smaller_than_the_boards_file_says(tmp_path):
    board = load("esp32s3-n16r8")
    image = image_of(tmp_path, board)
    with pytest.raises(FlashError, match="has 8 MB of flash, and esp32s3-n16r8 has 16"):
        add_weights(image, board, 8 << 20)


def test_weights_come_last_and_in_pieces(tmp_path):
    board = load("esp32s3")
    image = image_of(tmp_path, board)
    shard = bytes(range(256)) * 9000
    files = {"config.json": CONFIG, "shard.bin": shard, "main.py": b"pass"}
    segments = flash_segments(files, board, image, board.flash.size)
    assert [each.name for each in segments] == ["MicroPython", "files", *["weights"] * 3]
    pieces = segments[2:]
    assert b"".join(each.content for each in pieces) == shard
    assert [each.offset - pieces[0].offset for each in pieces] == [0, 1 << 20, 2 << 20]
    assert b"shard.bin" not in segments[1].content
    size = sum(len(each.content) for each in segments)
    assert count_seconds(segments) == pytest.approx(10 * size / 460_800)
    assert count_seconds(segments, 2_000_000) == pytest.approx(10 * size / 2_000_000)
    with pytest.raises(FlashError, match="partition for weights has 5632 KB, too little for 5633"):
        flash_segments({**files, "shard.bin": bytes(5632 * 1024 + 1)}, board, image, 8 << 20)
    # Where they come from the file system nothing changes.
    heap = flash_segments({**files, "config.json": b"{}"}, board, image, board.flash.size)
    assert heap[0].content == image.content and {each.name for each in heap[1:]} == {"files"}


@pytest.mark.parametrize("size", [None, 16 << 20])
def test_the_bootloader_is_told_of_a_large_flash(monkeypatch, size):
    """Without that, partitions beyond what MicroPython's image says would be refused."""
    asked = []
    monkeypatch.setattr(esptool, "_run", lambda port, arguments, *rest: asked.append(arguments))
    segment = Segment("weights", 0x300000, b"w")
    esptool.write("port", "esp32s3", [segment], lambda *_: None, [460_800], flash_size=size)
    (arguments,) = asked
    assert arguments[:2] == ["write-flash", "--skip-flashed"]
    assert ("16MB" in arguments) == (size is not None)
