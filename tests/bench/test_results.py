"""Rows as a table and as JSON."""

import io
import json
from pathlib import Path

from rich.console import Console

from bench.results import Label, Row, table, write

ROWS = [
    Row("matvec", "rv32imc", "64x64", 6.47, "instr/MAC", Label.EMULATED),
    Row("matvec", "xtensawin", "64x64", 8.45, "instr/MAC", Label.EMULATED),
    Row("frames", "simulated", "5 chips", 110.0, "per token", Label.MEASURED),
    Row("chip", "rv32imc", "5 chips", 1234567, "instr/token", Label.EMULATED),
]


def test_targets_stand_side_by_side() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table("Figures", ROWS))
    lines = [line.split() for line in console.export_text().splitlines()[1:]]
    assert lines[0] == ["name", "shape", "rv32imc", "xtensawin", "simulated", "unit", "label"]
    assert lines[1] == ["matvec", "64x64", "6.47", "8.45", "instr/MAC", "emulated"]
    assert lines[2] == ["frames", "5", "chips", "110", "per", "token", "measured"]
    assert lines[3] == ["chip", "5", "chips", "1,234,567", "instr/token", "emulated"]


def test_the_file_is_a_list_of_rows(tmp_path: Path) -> None:
    write(ROWS, tmp_path / "results.json")
    read = json.loads((tmp_path / "results.json").read_text())
    assert read[1] == {
        "name": "matvec", "target": "xtensawin", "shape": "64x64", "value": 8.45,
        "unit": "instr/MAC", "label": "emulated",
    }  # fmt: skip
    assert len(read) == len(ROWS)
