"""Bringing the files of a board that runs MicroPython up to date, over its REPL.

Files that are there are left, so that repeating what was broken off finishes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from host.errors import FlashError
from host.flashing.board_files import BoardFiles, System
from host.flashing.changes import FOLDERS, START, Changes, changes
from host.flashing.firmware_image import check_version
from host.flashing.placing import Place
from host.model.quantized import QuantizedModel

_ARCHITECTURES = {1: "x86", 10: "xtensawin", 11: "rv32imc"}  # py/persistentcode.h

# Called with the file being written, and how many bytes are there of how many in all.
Progressed = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Updated:
    """What was done, and what the board is."""

    system: System
    files: int  # in the deployment
    changes: Changes


def updated(
    model: QuantizedModel,
    place: Place,
    progressed: Progressed,
    permitted: Callable[[System], Place] | None = None,
) -> Updated:
    """Puts a chip's files onto its board and starts it anew.

    permitted: called with what the board is before anything is changed, gives the place with what
    is known then; what it raises ends it.
    Raises FlashError, BuildError or ModelError, before anything is changed where the board or
    the model is at fault.
    """
    place.check()
    plan = place.plan(model)
    with BoardFiles(place.port) as board:
        system = board.system()
        _check(system, place)
        place = permitted(system) if permitted else place
        files = place.files(model, plan, system.version)
        done = _updated(board, system, files, progressed)
        board.reset()
    return Updated(system, len(files), done)


def _check(system: System, place: Place) -> None:
    check_version(system.version, place.port)
    # Bits 10 to 13, see "MicroPython .mpy files" in its documentation.
    number = system.mpy >> 10 & 0xF
    arch = _ARCHITECTURES.get(number, f"architecture {number}")
    if arch != place.board.mpy_arch:
        raise FlashError(
            f"the board on {place.port} loads code for {arch}, and {place.board.name} is"
            f" {place.board.mpy_arch}: is it another board?"
        )


def _updated(
    board: BoardFiles, system: System, files: dict[str, bytes], progressed: Progressed
) -> Changes:
    """What was changed so that the board holds `files`. Raises FlashError where it does not."""
    names = [path for path in files if "/" not in path]
    present = board.files(FOLDERS, names)
    needed = changes(files, present)
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
    _copy(board, needed, progressed)
    damaged = changes(files, board.files(FOLDERS, names)).write if needed.write else {}
    if damaged:
        board.remove(START)
        raise FlashError(f"{next(iter(damaged))} did not reach the board intact: try again")
    return needed


def _copy(board: BoardFiles, needed: Changes, progressed: Progressed) -> None:
    before = 0
    for path, content in needed.write.items():

        def written(size: int, path: str = path, before: int = before) -> None:
            progressed(path, before + size, needed.size)

        written(0)
        board.write(path, content, written)
        before += len(content)
