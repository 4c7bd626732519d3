"""Finds figures for the tables of docs/benchmarks.md in the rows of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.results import Row

MODEL = "stories260K"
Cells = Sequence[str]


class MissingFigure(Exception):
    """A table needs a figure that the rows do not have."""


class Figures:
    """The values of rows by name, target and shape."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._values = {(row.name, row.target, row.shape): row.value for row in rows}
        self.used: set[tuple[str, str, str]] = set()

    def get(self, name: str, target: str, shape: str) -> float | None:
        """Returns the value, None if there is none."""
        key = name, target, shape
        if key in self._values:
            self.used.add(key)
        return self._values.get(key)

    def value(self, name: str, target: str, shape: str) -> float:
        """Returns the value; raises MissingFigure if there is none."""
        found = self.get(name, target, shape)
        if found is None:
            raise MissingFigure(f"no figure {name} | {target} | {shape}")
        return found


def goal_cell(value: float, goal: float | None, unit: str = "") -> str:
    """Returns the goal; in bold if the value, rounded as in tables, exceeds it."""
    if goal is None:
        return ""
    text = f"{goal:g}{unit}"
    return text if round(value, 2) <= goal else f"**{text} missed**"
