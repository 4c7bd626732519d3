"""Tables and progress on terminals of any width."""

import io
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.boards import print_boards
from host.cli.console import Console
from host.cli.progress import show_progress
from host.cli.tables import format_table, table_width
from host.cli.terminal import Display
from host.hardware import boards
from tests.host.test_prompts import log

CELLS = st.text("0123456789.,", min_size=1, max_size=9)
HEADINGS = st.lists(
    st.sampled_from(["chip", "KB in", "out", "--parallel tensor"]), min_size=1, max_size=9
)


@given(HEADINGS, st.data(), st.integers(1, 120))
def test_no_figure_is_ever_cut_nor_a_line_longer_than_it_must_be(headings, data, width):
    row = st.lists(CELLS, min_size=len(headings), max_size=len(headings))
    rows = data.draw(st.lists(row, min_size=1, max_size=4))
    lines = format_table(headings, rows, width)
    printed = [line.split() for line in lines]
    for row in rows:
        first, *others = row
        found = [words for words in printed if words and words[0] == first]
        assert found
        for cell in others:
            assert any(cell in words[1:] for words in found)
    two = max(
        table_width([headings[0], one], [(row[0], row[column]) for row in rows])
        for column, one in enumerate(headings)
    )  # which a table of two columns takes at most
    assert max(map(len, lines)) <= max(width, two)


def test_a_row_stands_in_the_stacked_tables_that_have_figures_of_it():
    rows = [("0", "12.5", ""), ("1", "", "1,234"), ("2", "", "")]
    assert format_table(("chip", "heap", "frames"), rows, 12) == [
        "chip  heap",
        "   0  12.5",
        "   2",
        "chip  frames",
        "   1   1,234",
        "   2",
    ]


def test_headings_are_broken_before_columns_are_stacked():
    rows = [("0", "12.5", "1,234"), ("1", "3", "5")]
    headings = ("chip", "heap KB", "frames in")
    assert format_table(headings, rows, 26) == [
        "chip  heap KB  frames in",
        "   0     12.5      1,234",
        "   1        3          5",
    ]
    assert format_table(headings, rows, 18) == [
        "chip  heap  frames",
        "        KB      in",
        "   0  12.5   1,234",
        "   1     3       5",
    ]
    assert format_table(headings, rows, 12, left={0}) == [
        "chip  heap",
        "        KB",
        "0     12.5",
        "1        3",
        "chip  frames",
        "          in",
        "0      1,234",
        "1          5",
    ]


@pytest.mark.parametrize("width", [30, 50, 60, 70, 76, 80, 100])
def test_boards_are_listed_whole_at_any_width(width):
    stream = io.StringIO()
    known = [boards.load(name) for name in boards.names()]
    print_boards(Console(file=stream, width=width), known)
    text = stream.getvalue()
    assert "…" not in text and all(f"\n{board.name} " in text for board in known)
    assert str(boards.load("esp32s3").planned_heap("uart") // 1024) in text.split()
    assert ("description" in text) == (width >= 80)


def test_progress_names_what_is_done_and_moves_meanwhile():
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80)
    with show_progress(console, "planning", 2) as steps:
        steps.begin("starting chips")
        steps.advance(0)
        steps.advance(1)
    text = stream.getvalue()
    assert text.index("planning") < text.index("starting chips") < text.index("2 of 2")
    assert "⠋" in text  # of the spinner


@pytest.mark.parametrize("is_one", [True, False])
def test_messages_do_not_glue_to_text_in_one_pipe_or_file(tmp_path, monkeypatch, is_one):
    """As of `run ... --verbose 2>&1 | less`."""
    paths = [tmp_path / "out", tmp_path / ("out" if is_one else "err")]
    with open(paths[0], "a") as out, open(paths[1], "a") as err:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        display = Display()
        display.show("light.")
        log(display, "retransmitting")
        display.show("kitchen off\n")
        assert os.fstat(out.fileno()).st_size
        log(display, "and again")
    lines = [path.read_text() for path in dict.fromkeys(paths)]
    text, messages = "light.kitchen off\n", "retransmitting\nand again\n"
    assert lines == ([text + messages] if is_one else [text, messages])
