"""The tables of docs/benchmarks.md, and that they are those of the figures beside it."""

import json
import re
from pathlib import Path

import pytest

from bench import page
from bench.kernel_tables import kernels
from bench.page_figures import Figures, MissingFigure
from bench.page_tables import TABLES
from bench.results import Label, Row, stored
from host.hardware.boards import load


def test_the_pages_tables_are_made_of_the_figures_beside_it() -> None:
    text = page.PAGE.read_text()
    assert page.with_tables(text, Figures(stored(page.FIGURES))) == text


def test_every_table_is_on_the_page_once() -> None:
    assert sorted(re.findall(r"<!-- table: (\w+) -->", page.PAGE.read_text())) == sorted(TABLES)


def test_every_figure_that_is_kept_is_shown() -> None:
    figures = Figures(stored(page.FIGURES))
    page.with_tables(page.PAGE.read_text(), figures)
    assert figures.used == {(row.name, row.target, row.shape) for row in stored(page.FIGURES)}


def changed(rows: list[Row], name: str, target: str, shape: str, value: float) -> list[Row]:
    return [
        Row(name, target, shape, value, row.unit, row.label)
        if (row.name, row.target, row.shape) == (name, target, shape) else row
        for row in rows
    ]  # fmt: skip


def test_a_goal_is_missed_from_the_second_digit_on() -> None:
    def cells(value: float) -> str:
        rows = changed(stored(page.FIGURES), "scores", "xtensawin", "128x8", value)
        (row,) = (cells for cells in kernels(Figures(rows)) if cells[0].startswith("q·k"))
        return row[-1]

    assert (cells(9.5), cells(9.51)) == ("9.5", "**9.5 missed**")


def test_a_table_ends_with_its_last_line() -> None:
    rows = changed(stored(page.FIGURES), "gate", "rv32imc", "64", 25.04)
    text = "a\n\n<!-- table: kernels -->\n| old |\n| --- |\n\n| kept |\n"
    message = page.with_tables(text, Figures(rows))
    assert message.startswith("a\n\n<!-- table: kernels -->\n| kernel | rv32imc | goal |")
    assert "| SiLU and product | 25.0 | 26 |" in message and "old" not in message
    assert message.endswith("|\n\n| kept |\n")


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A run's results beside a page of one table."""
    monkeypatch.setattr(page, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(page, "FIGURES", tmp_path / "page.json")
    page.PAGE.write_text("<!-- table: largest -->\n")
    return page.RESULTS


def test_a_run_is_written_into_the_page(results: Path) -> None:
    boards = ("esp32s2", "esp32c3", "esp32", "esp32s3", "esp32s3-psram")
    rows = [
        Row(f"largest model: {what}", board, "espnow 5 chips", 1000.0, "", Label.MODELLED)
        for board in boards for what in ("dim", "layers", "parameters")
    ]  # fmt: skip
    other = Row("simulation", "uart", "x", 1.0, "tokens/s", Label.MEASURED)
    results.write_text(json.dumps([row.__dict__ for row in [*rows, other]]))
    assert page.main() == 0
    assert stored(page.FIGURES) == rows
    heap = load("esp32s2").python_heap("espnow") / 1024
    row = f"| ESP32-S2 | {heap:,.0f} KB | 1,000 | 1,000 | 1,000 |\n"
    assert row in page.PAGE.read_text()


def test_a_run_that_lacks_a_figure_changes_nothing(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert page.main() == 1
    results.write_text("[]")
    assert page.main() == 1
    message = capsys.readouterr().err.splitlines()
    assert "results.json" in message[0]
    assert message[1].startswith("error: no figure largest model: dim | esp32s2 | espnow 5 chips:")
    assert page.PAGE.read_text() == "<!-- table: largest -->\n" and not page.FIGURES.exists()


def test_a_figure_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingFigure, match=r"^no figure chip \| rv32imc \| x$"):
        Figures([]).value("chip", "rv32imc", "x")
