"""Board files: the shipped ones hold together, and bad ones are named by file and field."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from host.errors import BoardError
from host.hardware import board as boards
from host.hardware.board import Board

GOOD = """
description = "a board"
mpy_arch = "xtensawin"
heap_kb = 100
[espnow]
mtu = 250
[uart]
number = 1
tx = 4
rx = 5
baud = 115200
rxbuf = 4096
[led]
pin = 2
kind = "gpio"
"""
# GPIOs that are no pins for a UART or an LED driver: flash, native USB, the REPL's UART.
TAKEN = {
    "esp32": {1, 3, *range(6, 12)},
    "esp32s2": {19, 20, *range(26, 33), 43, 44},
    "esp32s3": {19, 20, *range(26, 38), 43, 44},
    "esp32c3": {*range(11, 22)},
    "esp32c6": {12, 13, 16, 17, *range(24, 31)},
}


def _board(folder: Path, text: str) -> Board:
    (folder / "odd.toml").write_text(text)
    return boards.load("odd", folder)


def test_the_boards_that_ship() -> None:
    shipped = ["esp32", "esp32c3", "esp32c6", "esp32s2", "esp32s3", "esp32s3-psram", "simulated"]
    assert boards.names() == shipped


@pytest.mark.parametrize("name", boards.names())
def test_a_shipped_board_holds_together(name: str) -> None:
    board = boards.load(name)
    assert board.name == name
    assert board.espnow.mtu in (250, 1470)
    if board.chip is None:
        assert (board.flash, board.uart, board.led, board.clock_mhz) == (None,) * 4
        return
    assert board.chip in name
    assert board.mpy_arch == ("rv32imc" if "c" in board.chip else "xtensawin")
    # What no module has to give, and what no model is of use in.
    assert 64 <= board.heap_kb <= (board.psram_kb or 320)
    assert board.clock_mhz in (160, 240)
    assert board.uart and board.flash
    pins = [board.uart.tx, board.uart.rx] + ([board.led.pin] if board.led else [])
    assert len(set(pins)) == len(pins)
    assert not TAKEN[board.chip] & set(pins)
    assert board.uart.rxbuf > 2048 + 64
    flash = board.flash
    assert flash.offset in (0, 0x1000)
    assert flash.filesystem_offset + flash.filesystem_size == flash.size


def test_only_the_c6_has_no_rate() -> None:
    real = [board for board in map(boards.load, boards.names()) if board.chip]
    assert [board.name for board in real if board.espnow.rate is None] == ["esp32c6"]


def test_adding_a_board_is_adding_a_file(tmp_path: Path) -> None:
    board = _board(tmp_path, GOOD)
    assert boards.names(tmp_path) == ["odd"]
    assert (board.name, board.heap_kb, board.psram_kb, board.flash) == ("odd", 100, 0, None)
    assert board.led == boards.Led(pin=2, kind="gpio")


def test_an_unknown_name_suggests_the_nearest_and_lists_all() -> None:
    with pytest.raises(BoardError) as caught:
        boards.load("esp32-s3")
    assert str(caught.value) == (
        "no board is called 'esp32-s3', did you mean esp32s3? Boards: " + ", ".join(boards.names())
    )


def test_a_path_is_no_name() -> None:
    with pytest.raises(BoardError, match="no board is called"):
        boards.load("../boards/esp32")


@pytest.mark.parametrize(
    ("line", "replacement", "message"),
    [
        ("heap_kb = 100", "", "field heap_kb is missing"),
        ("heap_kb = 100", 'heap_kb = "100"', "field heap_kb is '100', expected a whole number"),
        ("heap_kb = 100", "heap_kb = true", "field heap_kb is True, expected a whole number"),
        ("heap_kb = 100", "heap_kb = -1", "field heap_kb is -1, expected a whole number"),
        ("heap_kb = 100", "heap_kb = 1.5", "field heap_kb is 1.5, expected a whole number"),
        ("heap_kb = 100", "heap_kb = 100\nheap = 1", "field heap is not known"),
        ("heap_kb = 100", 'heap_kb = 100\nname = "x"', "field name is not known"),
        ("mtu = 250", "", "field espnow.mtu is missing"),
        ("[uart]", "[port]", "field port is not known"),
        ("rx = 5", "rxd = 5", "field uart.rxd is not known"),
        ("rx = 5", "", "field uart.rx is missing"),
        ('"a board"', '""', "field description is '', expected text"),
        ('"a board"', "7", "field description is 7, expected text"),
        ('"xtensawin"', '"arm"', "is 'arm', expected one of x86, xtensawin, rv32imc"),
        ('"gpio"', '"neon"', "field led.kind is 'neon', expected one of gpio, ws2812"),
        ("[espnow]\nmtu = 250", "espnow = 250", "field espnow is 250, expected a table"),
        ("heap_kb = 100", "heap_kb 100", "not a TOML file"),
    ],
)
def test_a_malformed_file_is_named_with_its_field(
    tmp_path: Path, line: str, replacement: str, message: str
) -> None:
    assert line in GOOD
    with pytest.raises(BoardError) as caught:
        _board(tmp_path, GOOD.replace(line, replacement))
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'odd.toml'}: ")
    assert message in text
    assert "\n" not in text


def test_the_command_lists_every_board() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "host.boards"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    rows = re.findall(r"^([a-z]\S+)((?: +\d+)+) {2,}\S", run.stdout, re.MULTILINE)
    assert [name for name, _ in rows] == boards.names()
    sizes = dict(rows)["esp32c3"].split()
    board = boards.load("esp32c3")
    heaps = [board.planned_heap(link) // 1024 for link in ("uart", "espnow")]
    assert list(map(int, sizes)) == [160, board.heap_kb, *heaps, 4096]


@pytest.mark.parametrize("text", ["esp32,,esp32c3", "esp32,", ""])
def test_a_list_of_boards_has_no_gap(text: str) -> None:
    assert boards.board_names("esp32s3, esp32c3") == ["esp32s3", "esp32c3"]
    with pytest.raises(BoardError, match=f"^--boards {text}: a name is missing, give them as"):
        boards.board_names(text)


def test_a_word_too_many_is_refused() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "host.boards", "esp32"], capture_output=True, text=True
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "error: unrecognized arguments: esp32\n"
