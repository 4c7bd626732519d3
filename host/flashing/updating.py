"""Bringing the files of a board that runs MicroPython up to date, over its REPL.

Files that are there already are left, so that repeating what was interrupted finishes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from host.build.bundle import WEIGHTS, split_files
from host.errors import FlashError
from host.flashing.board_files import BoardFiles, System
from host.flashing.changes import FOLDERS, START, Changes, find_changes
from host.flashing.firmware_image import check_version
from host.hardware.board import Board
from protocol.shard_layout import DIGEST_SIZE

_ARCHITECTURES = {1: "x86", 10: "xtensawin", 11: "rv32imc"}  # py/persistentcode.h

# Called with the file being written, and how many bytes are there of how many in all.
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Updated:
    """What was done, and what the board is."""

    system: System
    files: int  # of the chip
    changes: Changes


def update(
    port: str,
    board: Board,
    make_files: Callable[[System], dict[str, bytes]],
    on_progress: OnProgress,
) -> Updated:
    """Puts a chip's files onto the board at a port and starts it again.

    make_files: called with what the board is before anything is changed, gives content by path;
    what it raises ends it. Raises FlashError, before anything is changed where the board is at
    fault.
    """
    with BoardFiles(port) as remote:
        system = remote.system()
        _check(system, port, board)
        files, weights = split_files(make_files(system))
        _check_weights(remote, weights)
        done = _write_changes(remote, system, files, on_progress)
        remote.reset()
    return Updated(system, len(files), done)


def _check_weights(remote: BoardFiles, weights: bytes) -> None:
    """Raises FlashError where weights are to be in a partition, and others are."""
    sha256 = weights[-DIGEST_SIZE:].hex()
    if weights and remote.partition_sha256(WEIGHTS, len(weights)) != sha256:
        raise FlashError(
            "its weights belong into a partition of the flash, which has not these: flash it"
            " without --update"
        )


def _check(system: System, port: str, board: Board) -> None:
    check_version(system.version, port)
    # Bits 10 to 13, see "MicroPython .mpy files" in its documentation.
    number = system.mpy >> 10 & 0xF
    arch = _ARCHITECTURES.get(number, f"architecture {number}")
    if arch != board.mpy_arch:
        raise FlashError(
            f"the board on {port} loads code for {arch}, and {board.name} is {board.mpy_arch}: is"
            " it another board?"
        )


def _write_changes(
    board: BoardFiles, system: System, files: dict[str, bytes], on_progress: OnProgress
) -> Changes:
    """Returns what was changed so that the board holds `files`. Raises FlashError where it does
    not."""
    names = [path for path in files if "/" not in path]
    present = board.files(FOLDERS, names)
    needed = find_changes(files, present)
    blocks = needed.blocks(system.block, present)
    if blocks > system.free_blocks:
        raise FlashError(
            f"no room on the board: {blocks * system.block // 1024} KB of its file system are"
            f" needed, {system.free_blocks * system.block // 1024} KB are free"
        )
    for path in needed.remove:
        board.remove(path)
    for folder in FOLDERS:
        board.make_folder(folder)
    _copy(board, needed, on_progress)
    damaged = find_changes(files, board.files(FOLDERS, names)).write if needed.write else {}
    if damaged:
        board.remove(START)
        raise FlashError(f"{next(iter(damaged))} did not reach the board intact: try again")
    return needed


def _copy(board: BoardFiles, needed: Changes, on_progress: OnProgress) -> None:
    before = 0
    for path, content in needed.write.items():

        def written(size: int, path: str = path, before: int = before) -> None:
            on_progress(path, before + size, needed.size)

        written(0)
        board.write(path, content, written)
        before += len(content)
