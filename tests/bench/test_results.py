"""Rows as a table and as JSON."""

import io
import json
from pathlib import Path

from bench.results import Label, Row, print_rows, write
from host.cli.console import Console

ROWS = [
    Row("matvec", "rv32imc", "64x64", 6.47, "instr/MAC", Label.EMULATED),
    Row("matvec", "xtensawin", "64x64", 8.45, "instr/MAC", Label.EMULATED),
    Row("frames", "simulated", "5 chips", 110.0, "per token", Label.MEASURED),
    Row("chip", "rv32imc", "5 chips", 1234567, "instr/token", Label.EMULATED),
]


def printed(width: int) -> list[list[str]]:
    console = Console(width=width, record=True, file=io.StringIO())
    print_rows("Figures", ROWS, console)
    return [line.split() for line in console.export_text().splitlines()]


def test_targets_stand_side_by_side() -> None:
    title, *lines = printed(120)
    assert title == ["Figures"]
    assert lines[0] == ["figure", "unit", "label", "rv32imc", "xtensawin", "simulated"]
    assert lines[1] == ["matvec,", "64x64", "instr/MAC", "emulated", "6.47", "8.45"]
    assert lines[2] == ["frames,", "5", "chips", "per", "token", "measured", "110"]
    assert lines[3] == ["chip,", "5", "chips", "instr/token", "emulated", "1,234,567"]


def test_no_figure_is_cut_where_there_is_little_room() -> None:
    words = [word for line in printed(40) for word in line]
    assert {"6.47", "8.45", "110", "1,234,567"} <= set(words)


def test_the_file_is_a_list_of_rows(tmp_path: Path) -> None:
    write(ROWS, tmp_path / "results.json")
    read = json.loads((tmp_path / "results.json").read_text())
    assert read[1] == {
        "name": "matvec", "target": "xtensawin", "shape": "64x64", "value": 8.45,
        "unit": "instr/MAC", "label": "emulated",
    }  # fmt: skip
    assert len(read) == len(ROWS)
