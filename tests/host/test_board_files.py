"""Board files: adding one, one like another, what is malformed, names that are mistyped."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from host.errors import BoardError
from host.hardware import boards
from host.hardware.board import Board, Led, Uart

GOOD = """
description = "a board"
mpy_arch = "xtensawin"
ram_kb = 100
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


def _board(folder: Path, text: str) -> Board:
    (folder / "odd.toml").write_text(text)
    return boards.load("odd", [folder])


def test_adding_a_board_is_adding_a_file(tmp_path: Path) -> None:
    board = _board(tmp_path, GOOD)
    assert boards.names([tmp_path]) == ["odd"]
    assert (board.name, board.ram_kb, board.psram_kb, board.flash) == ("odd", 100, 0, None)
    assert board.led == Led(pin=2, kind="gpio")


def test_folders_of_boards_add_to_those_that_ship(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    shipped = boards.names()
    (ours / "odd.toml").write_text(GOOD)
    (ours / "esp32.toml").write_text('like = "esp32"\nram_kb = 111\n')
    (theirs / "esp32.toml").write_text('like = "esp32"\ndescription = "theirs"\n')
    monkeypatch.setenv("FEDERATION_BOARDS", os.pathsep.join(map(str, (ours, theirs))))
    assert boards.names() == sorted([*shipped, "odd"])
    board = boards.load("esp32")  # each extends the one before
    assert (board.ram_kb, board.description, board.clock_mhz) == (111, "theirs", 240)
    monkeypatch.setenv("FEDERATION_BOARDS", str(tmp_path / "nowhere"))
    with pytest.raises(BoardError, match="^FEDERATION_BOARDS: there is no folder .*/nowhere$"):
        boards.names()


def test_a_file_like_another_has_its_tables_field_by_field(tmp_path: Path) -> None:
    (tmp_path / "odd.toml").write_text(GOOD)
    (tmp_path / "odder.toml").write_text('like = "odd"\n[uart]\ntx = 7\n')
    board = boards.load("odder", [tmp_path])
    assert (board.name, board.description) == ("odder", "a board")
    assert board.uart == Uart(number=1, tx=7, rx=5, baud=115200, rxbuf=4096)


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ("3", "odd.toml: field like is 3, expected the name of a board"),
        ('"odd"', "no board is called 'odd'. Boards: even"),
        ('"nil"', "no board is called 'nil'"),
        ('"even"', "odd.toml: field like is 'even', which leads back to this file"),
    ],
)
def test_a_file_that_is_like_no_board(tmp_path: Path, like: str, message: str) -> None:
    below, above = tmp_path / "below", tmp_path / "above"
    for folder in (below, above):
        folder.mkdir()
    (below / "even.toml").write_text('like = "odd"\n')
    (above / "odd.toml").write_text(f"like = {like}\n")
    with pytest.raises(BoardError) as caught:
        boards.load("odd", [below, above])
    assert message in str(caught.value)


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
        ("ram_kb = 100", "", "field ram_kb is missing"),
        ("ram_kb = 100", 'ram_kb = "100"', "field ram_kb is '100', expected a whole number"),
        ("ram_kb = 100", "ram_kb = true", "field ram_kb is True, expected a whole number"),
        ("ram_kb = 100", "ram_kb = -1", "field ram_kb is -1, expected a whole number"),
        ("ram_kb = 100", "ram_kb = 1.5", "field ram_kb is 1.5, expected a whole number"),
        ("ram_kb = 100", "ram_kb = 100\nheap = 1", "field heap is not known"),
        ("ram_kb = 100", 'ram_kb = 100\nname = "x"', "field name is not known"),
        ("mtu = 250", "", "field espnow.mtu is missing"),
        ("[uart]", "[port]", "field port is not known"),
        ("rx = 5", "rxd = 5", "field uart.rxd is not known"),
        ("rx = 5", "", "field uart.rx is missing"),
        ('"a board"', '""', "field description is '', expected text"),
        ('"a board"', "7", "field description is 7, expected text"),
        ('"xtensawin"', '"arm"', "is 'arm', expected one of x86, xtensawin, rv32imc"),
        ('"gpio"', '"neon"', "field led.kind is 'neon', expected one of gpio, ws2812"),
        ("[espnow]\nmtu = 250", "espnow = 250", "field espnow is 250, expected a table"),
        ("ram_kb = 100", "ram_kb 100", "not a TOML file"),
        ("ram_kb = 100", "ram_kb = " + 5000 * "[", "nested too deeply"),
        ("ram_kb = 100", "ram_kb = 100\nfixed_heap = 1", "field fixed_heap is not known"),
        ("ram_kb = 100", "ram_kb = 100\nsimulated = 1", "field simulated is 1, expected true or"),
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
    rows = re.findall(r"^([a-z]\S+)((?: +(?:\d+|-))+) {2,}\S", run.stdout, re.MULTILINE)
    assert [name for name, _ in rows] == boards.names()
    sizes = dict(rows)["esp32c3"].split()
    board = boards.load("esp32c3")
    heaps = [board.planned_heap(link) // 1024 for link in ("uart", "espnow")]
    assert list(map(int, sizes)) == [160, board.ram_kb, *heaps, 4096]


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
    assert run.stderr == (
        "error: unrecognized arguments: esp32: python -m host.boards --help lists what it takes\n"
    )


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("s3", "esp32s3"),
        ("S3", "esp32s3"),
        ("c3", "esp32c3"),
        ("ESP32-S3", "esp32s3"),
        ("s3-psram", "esp32s3-psram"),
        ("n16r8", "esp32s3-n16r8"),
        ("xiao", "xiao-esp32c6"),
        ("esp", "esp32"),
        ("esp32c33", "esp32c3"),
    ],
)
def test_a_part_of_a_name_suggests_the_board(name, nearest):
    with pytest.raises(BoardError, match=f"did you mean {nearest}\\? "):
        boards.load(name)


def test_a_name_like_none_suggests_none():
    for name in ("nope", "", "--", "raspberry"):
        with pytest.raises(BoardError, match=f"no board is called '{name}'\\. Boards: "):
            boards.load(name)
