"""The tables of docs/faults.md, kept equal to figures that `python -m bench faults` has counted.

    python -m bench faults && python -m bench.faults.page

writes the figures of the last run into docs/faults.json, and the tables anew: each follows a line
`<!-- table: NAME -->`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from bench import REPOSITORY
from bench.faults.cases import STRATEGIES, all_cases
from bench.faults.rows import LOSSES
from bench.page import fill_tables
from bench.page_figures import Cells
from bench.results import RESULTS, Row, read, store
from host.cli.arguments import FAILED

PAGE = REPOSITORY / "docs" / "faults.md"
FIGURES = PAGE.with_suffix(".json")


# The figures of the table of strategies; what it calls those that it does not call by name and
# shape.
_STRATEGY_ROWS = {
    "restarts survived": "",
    "restart under replay": "",
    "malformed messages": "malformed messages given to the host",
    "other errors than ClusterError": "errors other than ClusterError caused by these",
    "growth of the fullest chip's heap": "",
    "growth of the host's memory": "",
}


class Figures:
    """Figures by name and shape."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = {(row.name, row.target, row.shape): row for row in rows}
        self._named = {(row.name, row.target): row for row in rows}
        self.used: list[Row] = []

    def of(self, name: str, target: str, shape: str = "") -> Row:
        """Returns one figure. Raises KeyError."""
        row = self._rows[name, target, shape] if shape else self._named[name, target]
        self.used.append(row)
        return row


def _losses(figures: Figures) -> list[Cells]:
    cells: list[Cells] = [["", *(f"{loss:.0%}" for loss in LOSSES)]]
    for case in all_cases():
        line: list[str] = [str(case)]
        for loss in LOSSES:
            shape = f"{loss:.0%} of frames lost"
            equal = figures.of("equal texts", str(case), shape)
            time = figures.of("virtual time a token", str(case), shape)
            line.append(f"{equal.value:.0f} {equal.unit}, {time.value:,.0f} ms")
        cells.append(line)
    return cells


def _strategies(figures: Figures) -> list[Cells]:
    cells: list[Cells] = [["", *STRATEGIES]]
    for name, label in _STRATEGY_ROWS.items():
        rows = [figures.of(name, strategy) for strategy in STRATEGIES]
        heading = label or f"{name} ({rows[0].shape})"
        cells.append([heading, *(f"{row.value:,.0f} {row.unit}" for row in rows)])
    return cells


def _attacks(figures: Figures) -> list[Cells]:
    row = figures.of("frames accepted", "all")
    return [["frames given to chips and host", "accepted"], [row.shape, f"{row.value:,.0f}"]]


TABLES: dict[str, Callable[[Figures], list[Cells]]] = {
    "losses": _losses, "strategies": _strategies, "attacks": _attacks,
}  # fmt: skip


def with_tables(text: str, figures: Figures) -> str:
    """Returns the page with its tables made of these figures."""
    return fill_tables(text, TABLES, figures)


def main() -> int:
    """Writes figures and page; the exit code."""
    try:
        rows = read(RESULTS)
        figures = Figures(rows)
        page = with_tables(PAGE.read_text(), figures)
    except (OSError, KeyError) as error:
        what = f"no figure {error}" if isinstance(error, KeyError) else error
        print(f"error: {what}: run `python -m bench faults`", file=sys.stderr)
        return FAILED
    store(figures.used, FIGURES)
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
