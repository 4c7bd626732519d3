"""Rows of figures, as `make bench` prints and writes them, each with how it was obtained."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass
from enum import StrEnum
from pathlib import Path

from host.cli.console import Console
from host.cli.tables import print_table

RESULTS = Path(__file__).resolve().parent / "results.json"  # of the last run


class Label(StrEnum):
    """How a figure was obtained."""

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


def print_rows(title: str, rows: Sequence[Row], console: Console) -> None:
    """Prints the rows; those that differ only in their target are side by side."""
    targets = list(dict.fromkeys(row.target for row in rows))
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        name = f"{row.name}, {row.shape}" if row.shape else row.name
        line = lines.setdefault((name, row.unit, row.label), {})
        line[row.target] = _figure(row.value)
    table = [
        [name, unit, label, *(values.get(target, "") for target in targets)]
        for (name, unit, label), values in lines.items()
    ]
    console.print(title, style="italic", highlight=False)
    print_table(console, ["figure", "unit", "label", *targets], table, left=(0, 1, 2))


def stored(path: Path) -> list[Row]:
    """Returns the rows of a page's figures, as lists of the fields."""
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
    """Returns the rows that `write` wrote. Raises OSError."""
    return [Row(**row) for row in json.loads(path.read_text())]


def write(rows: Iterable[Row], path: Path) -> None:
    """Writes the rows as a JSON list of objects."""
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
