"""What flashing stand-in boards takes: their kinds of board, and MicroPython for them."""

import re

from host.hardware import board as boards
from tests.standin_board.micropython_image import micropython_image

KINDS = ("esp32s3", "esp32c3")


def standin_boards(folder):
    """A folder for FEDERATION_BOARDS: boards as they ship, but for code that runs here, x86."""
    folder.mkdir()
    for path in boards.FOLDER.glob("*.toml"):
        text = re.sub('^mpy_arch = ".*"', 'mpy_arch = "x86"', path.read_text(), flags=re.MULTILINE)
        (folder / path.name).write_text(text)
    return folder


def standin_firmware(folder, version="1.27.0"):
    """A folder for FIRMWARE=, with an image of each kind under its official name."""
    folder.mkdir(exist_ok=True)
    for kind in KINDS:
        board = boards.load(kind)
        name = f"{board.flash.image}-20251209-v{version}.bin"
        (folder / name).write_bytes(micropython_image(board, version))
    return folder
