"""What flashing stand-in boards takes: their kinds of board, and MicroPython for them."""

from host.hardware import boards
from tests.standin_board.micropython_image import micropython_image

KINDS = ("esp32s3", "esp32c3")


def standin_boards(folder):
    """A folder for FEDERATION_BOARDS: boards as they ship, but for code that runs here, x86."""
    folder.mkdir()
    for name in boards.names():
        if not boards.load(name).is_simulated:
            (folder / f"{name}.toml").write_text(f'like = "{name}"\nmpy_arch = "x86"\n')
    return folder


def standin_firmware(folder, version="1.27.0", kinds=KINDS):
    """A folder for FIRMWARE=, with an image of each kind under its official name."""
    folder.mkdir(exist_ok=True)
    for kind in kinds:
        board = boards.load(kind)
        name = f"{board.flash.image}-20251209-v{version}.bin"
        (folder / name).write_bytes(micropython_image(board, version))
    return folder
