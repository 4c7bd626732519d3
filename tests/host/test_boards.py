"""The boards that ship: each file holds together, and what is planned for its heap."""

import re

import pytest
from esptool.targets import CHIP_DEFS

from host.errors import BoardError
from host.hardware import boards
from host.hardware.ram import IDF, MACHINE_CODE
from host.model.quantized import QuantizedModel
from host.parallel.boards import BoardSet
from host.parallel.parallelism import HOST_REDUCE
from host.paths import SOURCES
from tests.shipped import shipped_model

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
        found = board.python_heap(link) + MACHINE_CODE["rv32im"]["host"][link]
        assert 0.97 * (heap + code) < found <= heap + code


def test_what_is_kept_for_frames_on_the_radio_is_planned_for() -> None:
    source = (SOURCES / "firmware/links/wifi.py").read_text()
    assert re.search(r"^_SENDING = const\((\d+)\)$", source, re.MULTILINE)[1] == str(IDF)
