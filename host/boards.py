"""Lists the boards: `python -m host.boards`."""

from __future__ import annotations

import sys

from host.cli.arguments import Parser, exit_code
from host.cli.console import Console, Table
from host.errors import BoardError
from host.hardware.board import Board, load, names


def table(boards: list[Board]) -> Table:
    """Returns the boards as a table for people."""
    result = Table(
        title="Boards (sizes in KiB; heap: what plans count with over a link; -: no such link)",
        box=None, title_justify="left", pad_edge=False,
    )  # fmt: skip
    result.add_column("board", no_wrap=True)
    for heading in ("MHz", "RAM", "PSRAM", "heap/uart", "/espnow", "flash"):
        result.add_column(heading, justify="right", no_wrap=True)
    result.add_column("description", overflow="fold")
    for board in boards:
        result.add_row(
            board.name,
            str(board.clock_mhz or ""),
            str(board.ram_kb),
            str(board.psram_kb or ""),
            *(_heap(board, link) for link in ("uart", "espnow")),
            str(board.flash.size // 1024) if board.flash else "",
            board.description,
        )
    return result


def _heap(board: Board, link: str) -> str:
    return str(board.planned_heap(link) // 1024) if link in board.links else "-"


def main(arguments: list[str] | None = None) -> int:
    """Prints the table of boards and returns the exit code."""
    Parser(prog="python -m host.boards", description="Lists the boards.").parse_args(arguments)
    return exit_code(_listed, (BoardError,))


def _listed() -> int:
    Console().print(table([load(name) for name in names()]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
