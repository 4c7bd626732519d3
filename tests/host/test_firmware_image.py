"""What is read out of MicroPython's image, and what is refused."""

import pytest

from host.errors import FlashError
from host.flashing.firmware_image import Partition, read_image
from host.hardware.boards import load
from tests.standin_board.micropython_image import micropython_image

KINDS = ["esp32", "esp32s2", "esp32s3", "esp32c3", "esp32c6"]
MB = 1 << 20


@pytest.fixture
def image_file(tmp_path):
    """Writes an image and gives its path."""

    def written(content):
        path = tmp_path / "image.bin"
        path.write_bytes(content)
        return path

    return written


@pytest.mark.parametrize("kind", KINDS)
def test_files_take_what_the_program_leaves_of_the_flash(image_file, kind):
    board = load(kind)
    image = read_image(image_file(micropython_image(board, "1.28.1")), board)
    assert image.version == (1, 28, 1)
    assert [part.name for part in image.partitions] == ["nvs", "phy_init", "factory"]
    flash = board.flash
    expected = Partition("vfs", flash.filesystem_offset, flash.filesystem_size)
    assert image.filesystem(flash.size) == expected
    assert image.filesystem(16 * MB).size == 16 * MB - flash.filesystem_offset


def test_a_partition_of_their_own_goes_before_that(image_file):
    board = load("esp32")
    content = micropython_image(board, vfs=(3 * MB, MB))
    image = read_image(image_file(content), board)
    assert image.filesystem(16 * MB) == Partition("vfs", 3 * MB, MB)
    with pytest.raises(FlashError, match="takes 4096 KB of flash, and the board has 2048"):
        image.filesystem(2 * MB)


def test_a_flash_that_the_program_fills(image_file):
    board = load("esp32s3")
    image = read_image(image_file(micropython_image(board)), board)
    with pytest.raises(FlashError, match="takes 2048 KB of flash, and the board has 2048"):
        image.filesystem(2 * MB)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "is not an image for an ESP32: take MicroPython's .bin"),
        (b"UF2\n" * 100, "is not an image for an ESP32: take MicroPython's .bin"),
        (micropython_image(load("esp32c3")), "is an image for esp32c3, and esp32s3 has"),
        (micropython_image(load("esp32s3"))[:0x8000], "is not a complete image of MicroPython"),
        (micropython_image(load("esp32s3"))[:0x10000], "is not a complete image of MicroPython"),
        (micropython_image(load("esp32s3"))[0x10000:], "is not a complete image of MicroPython"),
        (micropython_image(load("esp32s3"), "1.25.0"), "1.26 or later is needed"),
        (micropython_image(load("esp32s3")).replace(b"phy_init", b"ffat\0\0\0\0"), "in FAT"),
    ],
    ids=["empty", "other", "chip", "short", "no app", "app alone", "old", "FAT"],
)
def test_a_wrong_image_is_refused(image_file, content, line):
    with pytest.raises(FlashError) as raised:
        read_image(image_file(content), load("esp32s3"))
    assert line in str(raised.value) and "\n" not in str(raised.value)


def test_an_image_that_is_not_there(tmp_path):
    with pytest.raises(FlashError, match="cannot read .*none.bin: No such file"):
        read_image(tmp_path / "none.bin", load("esp32s3"))
