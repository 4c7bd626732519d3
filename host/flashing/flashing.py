"""Writes a board's whole flash: MicroPython and a chip's files."""

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

# Bytes of a piece of weights, which is compared with the flash, and written, as one.
_PIECE = 1 << 20

# Called with the name of what is being written, the bytes written so far, and all bytes.
OnProgress = Callable[[str, int, int], None]


def check_chip(port: str, board: Board, baud: int | None = None) -> ConnectedChip:
    """Returns the chip on a port, which stays in its bootloader; baud: None for the usual one.

    Raises FlashError if it is not the board's chip.
    """
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
    """Returns the segments to write to a board's flash of `flash_size` bytes, MicroPython first.

    files: the chip's, content by path. If its weights go into a partition, it is added to the
    table in MicroPython's image, and the weights come last: until they are complete, the chip
    refuses them. Raises FlashError if there is no room for them.
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
    """Yields the weights in pieces, so that pieces already in the flash are not written again."""
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
    """Returns the most seconds that writing takes: when nothing of it is in the flash yet, at the
    line's full speed of ten bits for each byte."""
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
    """Writes `content` to the flash of a board, which then starts; returns the number of bytes.

    baud, on_retry: as for esptool.choose_bauds and esptool.write. Raises FlashError.
    """
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
