"""Prints tables of figures on terminals of any width, without ever cutting a figure."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

from host.cli.console import Console

_GAP = "  "


def print_table(
    console: Console,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    left: Collection[int] = (),
) -> None:
    """Prints a table; left: indices of columns of text, which are aligned at the left.

    If it is too wide for the console, headings are broken between words, and if that is not enough
    the columns are divided into several tables, each beginning with the first column.
    """
    for lines, count in _pieces(headings, rows, console.width, left):
        for number, line in enumerate(lines):
            style = "bold" if number < count else None
            console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def format_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    left: Collection[int] = (),
) -> list[str]:
    """Returns the lines that print_table prints on a console of `width` columns."""
    return [line for lines, _ in _pieces(headings, rows, width, left) for line in lines]


def table_width(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Returns the width of a table with broken headings that is not divided."""
    return _total(_widths(_broken(headings, rows), rows))


def _pieces(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    left: Collection[int],
) -> list[tuple[list[str], int]]:
    """Returns for each of the divided tables its lines, and how many of them are headings."""
    whole = [[heading] for heading in headings]
    if _total(_widths(whole, rows)) <= width:
        return [_piece(whole, rows, range(len(headings)), left)]
    broken = _broken(headings, rows)
    widths = _widths(broken, rows)
    groups: list[list[int]] = [[0]]
    for column in range(1, len(headings)):
        if len(groups[-1]) > 1 and _total([widths[one] for one in (*groups[-1], column)]) > width:
            groups.append([0])
        groups[-1].append(column)
    return [_piece(broken, rows, group, left) for group in groups]


def _piece(
    headings: Sequence[Sequence[str]],
    rows: Sequence[Sequence[str]],
    columns: Sequence[int],
    left: Collection[int],
) -> tuple[list[str], int]:
    widths = _widths(headings, rows)
    height = max(len(headings[column]) for column in columns)
    # A heading of one line stands above those of two.
    heads = [[*words, *[""] * (height - len(words))] for words in headings]
    lines = [[head[number] for head in heads] for number in range(height)]

    def aligned(cells: Sequence[str]) -> str:
        parts = (
            cells[column].ljust(widths[column]) if column in left else
            cells[column].rjust(widths[column])
            for column in columns
        )  # fmt: skip
        return _GAP.join(parts).rstrip()

    # A row that is empty in these columns is shown in another of the divided tables.
    filled = [
        row for row in rows if any(row[column] for column in columns[1:]) or not any(row[1:])
    ]
    return [aligned(cells) for cells in (*lines, *filled)], height


def _broken(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Returns each heading broken into lines as wide as its cells, or its longest word."""
    return [
        textwrap.wrap(heading, width, break_on_hyphens=False)
        for heading, width in zip(
            headings, _widths([heading.split() for heading in headings], rows), strict=True
        )
    ]


def _widths(headings: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]) -> list[int]:
    return [
        max(map(len, (*words, *(row[column] for row in rows))))
        for column, words in enumerate(headings)
    ]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)
