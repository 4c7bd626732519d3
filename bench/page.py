"""The tables of docs/benchmarks.md, kept equal to figures that `python -m bench` has counted.

    python -m bench --model stories260K.bin && python -m bench.page

writes the figures of the last run that tables show into docs/benchmarks.json, and the tables anew:
each follows a line `<!-- table: NAME -->`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from typing import TypeVar

from bench import REPOSITORY
from bench.page_figures import Cells, Figures, MissingFigure
from bench.page_tables import TABLES
from bench.results import RESULTS, read, store
from host.cli.arguments import FAILED

PAGE = REPOSITORY / "docs" / "benchmarks.md"
FIGURES = PAGE.with_suffix(".json")
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n)((?:\|.*\n)*)")
_Figures = TypeVar("_Figures")


def fill_tables(
    text: str, tables: Mapping[str, Callable[[_Figures], list[Cells]]], figures: _Figures
) -> str:
    """Returns the page with the tables that it names made anew. Raises KeyError for one that
    nothing makes, and what making one does."""
    return _TABLE.sub(lambda at: at[1] + markdown(tables[at[2]](figures)), text)


def with_tables(text: str, figures: Figures) -> str:
    """Returns the page with its tables made of these figures. Raises MissingFigure."""
    return fill_tables(text, TABLES, figures)


def markdown(cells: list[Cells]) -> str:
    """Returns a table, its first row the heading."""
    heading, *rows = cells
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(re.sub(" +", " ", f"| {' | '.join(line)} |\n") for line in lines)


def main() -> int:
    """Writes figures and page; the exit code."""
    try:
        rows = read(RESULTS)
        figures = Figures(rows)
        page = with_tables(PAGE.read_text(), figures)
    except (OSError, MissingFigure) as error:
        print(f"error: {error}: run `python -m bench --model stories260K.bin`", file=sys.stderr)
        return FAILED
    store((row for row in rows if (row.name, row.target, row.shape) in figures.used), FIGURES)
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
