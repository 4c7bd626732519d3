"""Updates the files of a board that runs MicroPython, over its REPL.

Files that are there already are left alone, so repeating an interrupted update finishes it.
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

# Called with the file being written, the bytes written so far, and all bytes.
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Updated:
    """What an update has done, and what runs on the board."""

    system: System
    files: int  # of the chip
    changes: Changes


def update(
    port: str,
    board: Board,
    make_files: Callable[[System], dict[str, bytes]],
    on_progress: OnProgress,
) -> Updated:
    """Copies a chip's files to the board at a port, and restarts it.

    make_files: called with what runs on the board, returns content by path; its errors end the
    update before anything is changed. Raises FlashError; for a wrong board, before anything is
    changed.
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
    """Raises FlashError if the weights belong in a partition that has others."""
    sha256 = weights[-DIGEST_SIZE:].hex()
    if weights and remote.partition_sha256(WEIGHTS, len(weights)) != sha256:
        raise FlashError(
            "its weights belong in a partition of the flash, which does not have them: flash it"
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
    """Changes what differs on the board from `files`, and returns the changes. Raises FlashError
    if the board does not hold them afterwards."""
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
