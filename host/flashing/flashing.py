"""Writing a board's whole flash: MicroPython and a chip's files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from host.errors import FlashError
from host.flashing import esptool
from host.flashing.esptool import ConnectedChip, Segment
from host.flashing.filesystem_image import make_filesystem, used_segments
from host.flashing.firmware_image import FirmwareImage
from host.hardware.board import Board

# Called with what is being written, and how many bytes are there of how many in all.
OnProgress = Callable[[str, int, int], None]


def check_chip(port: str, board: Board, baud: int | None = None) -> ConnectedChip:
    """Returns the chip on a port, which stays in its bootloader; baud: where the user gives one.
    Raises FlashError where it is not of the board's kind."""
    found = esptool.identify_chip(port, baud)
    if found.kind != board.chip:
        esptool.leave_bootloader(port)
        raise FlashError(
            f"the chip on {port} is an {found.kind}, and {board.name} has an {board.chip}: is it"
            " another board, or another port?"
        )
    return found


def flash_segments(
    files: Mapping[str, bytes], board: Board, image: FirmwareImage, flash_size: int
) -> list[Segment]:
    """Returns what is to be written to a board's flash of so many bytes, MicroPython first.

    files: the chip's, content by path. Raises FlashError where there is no room for them.
    """
    assert board.flash is not None
    region = image.filesystem(flash_size)
    parts = used_segments(make_filesystem(files, region.size))
    return [
        Segment("MicroPython", board.flash.offset, image.content),
        *(Segment("files", region.offset + offset, part) for offset, part in parts),
    ]


def write_segments(
    port: str,
    content: Sequence[Segment],
    chip: ConnectedChip,
    on_progress: OnProgress,
    baud: int | None = None,
    on_retry: Callable[[str], None] = lambda line: None,
) -> int:
    """Writes `content` to the flash of a board, which then starts; returns how many bytes that
    were. baud, on_retry: as esptool.choose_bauds and esptool.write have them. Raises
    FlashError."""
    total = sum(len(segment.content) for segment in content)
    esptool.write(
        port,
        chip.kind,
        content,
        lambda name, written: on_progress(name, written, total),
        esptool.choose_bauds(baud),
        on_retry,
    )
    return total
