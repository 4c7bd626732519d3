"""docs/hardware.md says what boards' files and the firmware say."""

import re

from host.build.configuration import REPL_BAUD, REPL_MTU, board_settings
from host.hardware.board import load, names
from tests.simulation.launch import REPOSITORY

PAGE = (REPOSITORY / "docs" / "hardware.md").read_text()


def test_the_pins_are_those_of_the_boards():
    rows = re.findall(r"^\| `(\S+)` \| (\d) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    boards = {name: load(name) for name in names()}
    assert {name: tuple(map(int, pins)) for name, *pins in rows} == {
        name: (board.uart.number, board.uart.tx, board.uart.rx, board.uart.baud)
        for name, board in boards.items()
        if board.uart
    }


def test_every_board_is_named():
    for name in names():
        assert f"`{name}`" in PAGE or name == "simulated"


def test_figures_are_those_of_the_configuration():
    settings = board_settings(load("esp32"))
    assert settings["prompt_ms"] == 2000 and "For two seconds the prompt is offered" in PAGE
    assert settings["watchdog_ms"] == 8000 and "after 8 seconds" in PAGE
    assert f"{REPL_BAUD:,} baud" in PAGE and f"at most {REPL_MTU} bytes" in PAGE


def test_it_says_that_no_real_board_was_tried():
    assert "Nothing on this page has been tried on a real board yet" in PAGE
