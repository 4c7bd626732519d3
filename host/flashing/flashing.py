"""Writing a board's whole flash: MicroPython and a chip's files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from host.build.bundle import split_files
from host.errors import FlashError
from host.flashing import esptool
from host.flashing.esptool import ConnectedChip, Segment
from host.flashing.filesystem_image import make_filesystem, used_segments
from host.flashing.firmware_image import FirmwareImage
from host.flashing.partition_table import add_weights, find_weights
from host.hardware.board import Board

# Bytes of weights that are compared with what is in the flash, and written, together.
_PIECE = 1 << 20

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

    files: the chip's, content by path. Where its weights go into a partition, MicroPython's image
    gets a table with it, and they come last: until they are whole, the chip refuses them. Raises
    FlashError where there is no room for them.
    """
    assert board.flash is not None
    named, weights = split_files(files)
    if weights:
        image = add_weights(image, board, flash_size)
    region = image.filesystem(flash_size)
    parts = used_segments(make_filesystem(named, region.size))
    return [
        Segment("MicroPython", board.flash.offset, image.content),
        *(Segment("files", region.offset + offset, part) for offset, part in parts),
        *_weight_segments(weights, image),
    ]


def _weight_segments(weights: bytes, image: FirmwareImage) -> Iterator[Segment]:
    """The weights in pieces, of which those are not written again that are there already."""
    if not weights:
        return
    room = find_weights(image)
    if len(weights) > room.size:
        raise FlashError(
            f"the partition for weights has {room.size // 1024} KB, too little for"
            f" {-(-len(weights) // 1024)} KB: take more chips"
        )
    for at in range(0, len(weights), _PIECE):
        yield Segment("weights", room.offset + at, weights[at : at + _PIECE])


def count_seconds(content: Sequence[Segment], baud: int | None = None) -> float:
    """Returns how long writing takes at most, if nothing of it is there and the line carries what
    it can: a byte is ten bits."""
    size = sum(len(segment.content) for segment in content)
    return 10 * size / esptool.choose_bauds(baud)[0]


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
        chip.flash_size if any(segment.name == "weights" for segment in content) else None,
    )
    return total
