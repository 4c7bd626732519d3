"""docs/hardware.md says what boards' files and the firmware say."""

import re

from host.build.configuration import REPL_MTU, board_settings
from host.hardware.boards import load, names
from host.links.access import REPL_BAUD
from tests.simulation.launch import REPOSITORY

PAGE = (REPOSITORY / "docs" / "hardware.md").read_text()


def test_the_pins_are_those_of_the_boards():
    """Of those that the page names: a new board needs its file alone."""
    rows = re.findall(r"^\| `(\S+)` \| (\d) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    assert len(rows) > 5
    for name, *pins in rows:
        uart = load(name).uart
        assert tuple(map(int, pins)) == (uart.number, uart.tx, uart.rx, uart.baud), name


def test_the_boards_that_are_named_exist():
    table = PAGE.split("## What to buy")[1].split("**Memory.**")[0]
    named = re.findall(r"`([a-z][a-z0-9-]+)`", table)
    assert set(named) <= set(names()) and len(named) > 5


def test_figures_are_those_of_the_configuration():
    settings = board_settings(load("esp32"))
    assert settings["prompt_ms"] == 2000 and "For two seconds the prompt is offered" in PAGE
    assert settings["watchdog_ms"] == 8000 and "after 8 seconds" in PAGE
    assert f"{REPL_BAUD:,} baud" in PAGE and f"at most {REPL_MTU} bytes" in PAGE


def test_it_says_that_no_real_board_was_tried():
    assert "Nothing on this page has been tried on a real board yet" in PAGE
