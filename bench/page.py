"""The tables of docs/benchmarks.md, kept equal to figures that `python -m bench` has counted.

    python -m bench --model stories260K.bin && python -m bench.page

writes the figures of the last run that tables show into docs/benchmarks.json, and the tables anew:
each follows a line `<!-- table: NAME -->`.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import astuple

from bench import REPOSITORY
from bench.page_tables import TABLES, Cells, Figures, MissingFigure
from bench.results import RESULTS, Row
from host.cli.arguments import FAILED

PAGE = REPOSITORY / "docs" / "benchmarks.md"
FIGURES = PAGE.with_suffix(".json")
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n)((?:\|.*\n)*)")


def with_tables(text: str, figures: Figures) -> str:
    """The page with its tables made of these figures. Raises MissingFigure, and KeyError for a
    table that nothing makes."""
    return _TABLE.sub(lambda at: at[1] + markdown(TABLES[at[2]](figures)), text)


def markdown(cells: list[Cells]) -> str:
    """A table, its first row the heading."""
    heading, *rows = cells
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(re.sub(" +", " ", f"| {' | '.join(line)} |\n") for line in lines)


def main() -> int:
    """Writes figures and page; the exit code."""
    try:
        rows = [Row(**row) for row in json.loads(RESULTS.read_text())]
        figures = Figures(rows)
        page = with_tables(PAGE.read_text(), figures)
    except (OSError, MissingFigure) as error:
        print(f"error: {error}: run `python -m bench --model stories260K.bin`", file=sys.stderr)
        return FAILED
    shown = [row for row in rows if (row.name, row.target, row.shape) in figures.used]
    lines = ",\n".join(json.dumps(astuple(row)) for row in shown)
    FIGURES.write_text(f"[\n{lines}\n]\n")
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
