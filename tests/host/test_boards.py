"""Board files: the shipped ones hold together, and bad ones are named by file and field."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from esptool.targets import CHIP_DEFS

from host.errors import BoardError
from host.hardware import board as boards
from host.hardware.board import Board
from host.hardware.ram import IDF, MACHINE_CODE
from host.model.quantized import QuantizedModel
from host.parallel.boards import BoardSet
from host.parallel.parallelism import HOST_REDUCE
from host.paths import SOURCES
from tests.shipped import shipped_model

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
# GPIOs that are no pins for a UART or an LED driver: flash, native USB, the REPL's UART.
TAKEN = {
    "esp32": {1, 3, *range(6, 12)},
    "esp32s2": {19, 20, *range(26, 33), 43, 44},
    "esp32s3": {19, 20, *range(26, 33), 43, 44},
    "esp32c3": {*range(11, 22)},
    "esp32c5": {*range(11, 23)},
    "esp32c6": {12, 13, 16, 17, *range(24, 31)},
    "esp32h2": {*range(15, 22), 23, 24, 26, 27},
    "esp32p4": {24, 25, 37, 38},
}
OCTAL_PSRAM = {*range(33, 38)}  # of an ESP32-S3
# What the firmware's longest code, Wi-Fi and ESP-IDF take at most, in KiB.
BESIDE_THE_HEAP = (47_400 + 4_096) / 1024 + 42
REAL = [name for name in boards.names() if not boards.load(name).is_simulated]


@pytest.fixture(scope="module")
def home() -> QuantizedModel:
    return shipped_model()


def _board(folder: Path, text: str) -> Board:
    (folder / "odd.toml").write_text(text)
    return boards.load("odd", [folder])


def test_boards_of_all_kinds_of_chip_are_shipped() -> None:
    assert {boards.load(name).chip for name in REAL} == TAKEN.keys()
    assert len(boards.names()) == len(REAL) + 1  # and one that is simulated


@pytest.mark.parametrize("name", boards.names())
def test_a_shipped_board_holds_together(name: str) -> None:
    board = boards.load(name)
    assert board.name == name
    if board.espnow:
        assert board.espnow.mtu in (250, 1470)
    if board.is_simulated:
        assert (board.flash, board.uart, board.led, board.clock_mhz, board.button) == (None,) * 5
        return
    assert board.chip is not None and board.chip in CHIP_DEFS
    assert board.mpy_arch == ("rv32imc" if re.match("esp32[chp]", board.chip) else "xtensawin")
    # What no module has to give, and what no model is of use in.
    assert 64 <= board.ram_kb <= 320
    if board.psram_kb:  # what does not lie there
        assert board.ram_kb > BESIDE_THE_HEAP and board.psram_kb % 1024 == 0
    assert board.clock_mhz in (96, 160, 240, 360)
    assert board.uart and board.flash and board.button is not None
    pins = [board.uart.tx, board.uart.rx, board.button] + ([board.led.pin] if board.led else [])
    assert len(set(pins)) == len(pins)
    assert not TAKEN[board.chip] & set(pins)
    if board.psram_kb and board.chip == "esp32s3":
        assert not OCTAL_PSRAM & set(pins)
    assert board.uart.rxbuf > 2048 + 64


@pytest.mark.parametrize("name", REAL)
def test_a_boards_flash_is_laid_out_for_its_image(name: str) -> None:
    board = boards.load(name)
    assert board.flash and board.chip
    flash = board.flash
    assert flash.offset == CHIP_DEFS[board.chip].BOOTLOADER_FLASH_OFFSET
    assert flash.filesystem_offset + flash.filesystem_size == flash.size
    assert flash.size in (4 << 20, 8 << 20, 16 << 20)
    # As MicroPython names images of boards, their variants and its releases.
    assert re.fullmatch("[A-Z0-9_]+(-[A-Z0-9_]+)?", flash.image)
    assert re.fullmatch(r"20\d{6}-v1\.(2[6-9]|[3-9]\d)\.\d", flash.version)
    assert board.chip[5:].upper() in flash.image


@pytest.mark.parametrize("name", REAL)
def test_a_boards_file_says_where_its_figures_are_from(name: str) -> None:
    text = (boards.BOARDS / f"{name}.toml").read_text()
    for figure in ("ram_kb", "psram_kb", "wifi_kb", "offset", "image", "tx"):
        if match := re.search(f"^{figure} = ", text, re.MULTILINE):
            table = text[: match.start()].rsplit("\n\n", 1)[-1]
            assert "# " in table, figure


def test_wifi_6_chips_have_no_rate_and_all_others_with_wifi_one() -> None:
    for board in map(boards.load, REAL):
        if board.espnow:
            assert (board.espnow.rate is None) == (board.chip in ("esp32c5", "esp32c6"))


@pytest.mark.parametrize("name", REAL)
def test_the_shipped_model_is_planned_for_it(name: str, home: QuantizedModel) -> None:
    board = boards.load(name)
    for link in board.links:
        plan = BoardSet((board,) * 14, link, 8, signed=True).plan(home, HOST_REDUCE)
        assert plan.chips == 14


def test_a_board_without_wifi_refuses_esp_now() -> None:
    board = boards.load("esp32h2")
    assert board.links == ("uart",) and board.mtu("uart") is None
    for refused in (board.planned_heap, board.python_heap, board.mtu):
        with pytest.raises(BoardError, match="^esp32h2 has no ESP-NOW: give --link uart$"):
            refused("espnow")


def test_the_simulated_board_is_a_real_one_but_for_its_code() -> None:
    simulated, real = boards.load("simulated"), boards.load("esp32s3-psram")
    assert (simulated.mpy_arch, real.mpy_arch) == ("x86", "xtensawin")
    assert simulated.espnow == real.espnow
    for link in real.links:
        assert simulated.planned_heap(link) == real.planned_heap(link)


def test_a_heap_that_is_given_is_all_that_there_is() -> None:
    board = boards.load("esp32c3").with_heap(163_840)
    for link in board.links:
        assert board.python_heap(link, "chips") == board.planned_heap(link) == 163_840


def test_the_heap_of_a_c3_is_at_most_what_was_measured() -> None:
    board = boards.load("esp32c3")
    measured = {"uart": 177_088, "espnow": 135_616}  # beside so many bytes of machine code:
    code = 34_300
    for link, heap in measured.items():
        found = board.python_heap(link) + MACHINE_CODE["host"][link]
        assert 0.97 * (heap + code) < found <= heap + code


def test_what_is_kept_for_frames_on_the_radio_is_planned_for() -> None:
    source = (SOURCES / "firmware/links/wifi.py").read_text()
    assert re.search(r"^_SENDING = const\((\d+)\)$", source, re.MULTILINE)[1] == str(IDF)


def test_adding_a_board_is_adding_a_file(tmp_path: Path) -> None:
    board = _board(tmp_path, GOOD)
    assert boards.names([tmp_path]) == ["odd"]
    assert (board.name, board.ram_kb, board.psram_kb, board.flash) == ("odd", 100, 0, None)
    assert board.led == boards.Led(pin=2, kind="gpio")


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
    assert board.uart == boards.Uart(number=1, tx=7, rx=5, baud=115200, rxbuf=4096)


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
    assert run.stderr == "error: unrecognized arguments: esp32\n"


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
