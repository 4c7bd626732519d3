"""Lists the boards: `python -m host.boards`."""

from __future__ import annotations

import sys

from host.cli.arguments import Parser, exit_code
from host.cli.console import Console, Table
from host.cli.tables import print_table, table_width
from host.errors import BoardError
from host.hardware.board import Board
from host.hardware.boards import load, names

_TITLE = "Boards (sizes in KiB; heap: what plans count with over a link; -: no such link)"
_HEADINGS = ("board", "MHz", "RAM", "PSRAM", "heap/uart", "/espnow", "flash")
_DESCRIPTION = 20  # characters: narrower, and it is left out


def print_boards(console: Console, boards: list[Board]) -> None:
    """Prints the boards as a table for people."""
    rows = [
        (
            board.name,
            str(board.clock_mhz or ""),
            str(board.ram_kb),
            str(board.psram_kb or ""),
            *(_heap(board, link) for link in ("uart", "espnow")),
            str(board.flash.size // 1024) if board.flash else "",
        )
        for board in boards
    ]
    console.print(_TITLE, style="italic", highlight=False)
    if table_width(_HEADINGS, rows) + _DESCRIPTION > console.width:
        print_table(console, _HEADINGS, rows, left={0})
        return
    table = Table(box=None, pad_edge=False)
    table.add_column(_HEADINGS[0], no_wrap=True)
    for heading in _HEADINGS[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("description", overflow="fold")
    for board, row in zip(boards, rows, strict=True):
        table.add_row(*row, board.description)
    console.print(table)


def _heap(board: Board, link: str) -> str:
    return str(board.planned_heap(link) // 1024) if link in board.links else "-"


def main(arguments: list[str] | None = None) -> int:
    """Prints the table of boards and returns the exit code."""
    Parser(prog="python -m host.boards", description="Lists the boards.").parse_args(arguments)
    return exit_code(_listed, (BoardError,))


def _listed() -> int:
    print_boards(Console(), [load(name) for name in names()])
    return 0


if __name__ == "__main__":
    sys.exit(main())
