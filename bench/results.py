"""Rows of figures: what `make bench` prints and writes, each with how it was come by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass
from enum import StrEnum
from pathlib import Path

from rich.table import Table

RESULTS = Path(__file__).resolve().parent / "results.json"  # of the last run


class Label(StrEnum):
    """How a figure was come by."""

    MEASURED = "measured"  # counted or timed on this machine
    EMULATED = "emulated"  # instructions of the target's own code, executed in an emulator
    MODELLED = "modelled"  # computed from counts and published or assumed figures


@dataclass(frozen=True)
class Row:
    """One figure. name: what was counted; target: the processor or the link; shape: its size."""

    name: str
    target: str
    shape: str
    value: float
    unit: str
    label: Label

    @property
    def key(self) -> str:
        """What distinguishes this figure from the others."""
        return f"{self.name} | {self.target} | {self.shape} | {self.unit}"


def table(title: str, rows: Sequence[Row]) -> Table:
    """The rows for a terminal, what differs only in its target side by side."""
    targets = list(dict.fromkeys(row.target for row in rows))
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        line = lines.setdefault((row.name, row.shape, row.unit, row.label), {})
        line[row.target] = _figure(row.value)
    made = Table(title=title, box=None, title_justify="left")
    for heading in ("name", "shape"):
        made.add_column(heading)
    for target in targets:
        made.add_column(target, justify="right")
    for heading in ("unit", "label"):
        made.add_column(heading)
    for (name, shape, unit, label), values in lines.items():
        made.add_row(name, shape, *(values.get(target, "") for target in targets), unit, label)
    return made


def stored(path: Path) -> list[Row]:
    """The rows of a page's figures, as lists of the fields."""
    return [
        Row(name, target, shape, value, unit, Label(label))
        for name, target, shape, value, unit, label in json.loads(path.read_text())
    ]


def store(rows: Iterable[Row], path: Path) -> None:
    """Writes a page's figures, as `stored` reads them."""
    lines = ",\n".join(json.dumps(astuple(row)) for row in rows)
    path.write_text(f"[\n{lines}\n]\n")


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.2f}"


def read(path: Path) -> list[Row]:
    """The rows that `write` wrote. Raises OSError."""
    return [Row(**row) for row in json.loads(path.read_text())]


def write(rows: Iterable[Row], path: Path) -> None:
    """Writes the rows as a JSON list of objects."""
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
