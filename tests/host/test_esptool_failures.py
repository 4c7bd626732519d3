"""Why esptool failed, in words of our own, and what is tried before that is said."""

import re
from pathlib import Path

import pytest

from host import flash
from host.errors import FlashError
from host.flashing import esptool
from host.flashing.esptool import Segment, choose_bauds, identify_chip, write
from host.flashing.esptool_failures import NoisyLine, make_error
from host.hardware import boards
from tests.standin_board.board import StandinBoard
from tests.standin_board.micropython_image import micropython_image

PORT = "/dev/null"  # which is there
FATAL = "A fatal error occurred: "
OPTIONS = set(re.findall(r"--[a-z0-9-]+", Path(flash.__file__).read_text()))
NOISE = "Invalid head of packet (0x45): Possible serial noise or corruption."


def failure(text, port=PORT):
    return make_error(port, f"esptool v5\nConnecting...\n\n{FATAL}{text}\n", "writing files")


@pytest.mark.parametrize(
    "text",
    [
        NOISE,
        "The chip stopped responding.",
        "Serial data stream stopped: Possible serial noise or corruption.",
        "Packet content transfer stopped (received 8 bytes)",
        "Failed to write compressed data after seq 3 (result was C100: Bad data checksum)",
        "Failed to set baud rate 460800. The driver may not support this rate.",
        "No serial data received.",
    ],
)
def test_a_line_that_damages_what_it_carries(text):
    error = failure(text)
    assert isinstance(error, NoisyLine)
    assert str(error) == f"the line to {PORT} damages what it carries, writing files"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "'flash1' requires chip revision in range [v0.0 - v0.99] (this chip is revision v1.0)."
            " Use --force to flash anyway.",
            f"this MicroPython needs chip revision in range [v0.0 - v0.99], and the chip on {PORT}"
            " is v1.0: give an image for it with --firmware, or use another board",
        ),
        (
            "Secure Boot V1 detected, writing to flash regions < 0x8000 is disabled to protect the"
            " bootloader. Use the force argument to override, please use with caution, otherwise"
            " it may brick your device!",
            f"the board on {PORT} is locked to firmware that its maker has signed (Secure Boot):"
            " use another board",
        ),
        (
            "This command (0xd0) is not supported in Secure Download Mode",
            f"the board on {PORT} is locked to firmware that its maker has signed (Secure Boot):"
            " use another board",
        ),
        (
            "Detected flash encryption and secure download mode enabled.",
            f"the flash of the board on {PORT} is encrypted, for other firmware: use another"
            " board",
        ),
        (
            "This chip is ESP32-S3, not ESP32-C3. Wrong chip argument?",
            f"the chip on {PORT} is an ESP32-S3, not an ESP32-C3: is it another board?",
        ),
        (
            "Something new. Use --flash-size detect. See https://docs.example/esptool.",
            f"writing the board on {PORT} failed while writing files: Something new.",
        ),
        (
            "Use the --no-stub argument.",
            f"writing the board on {PORT} failed while writing files: no reason is given",
        ),
    ],
)
def test_what_a_chip_does_not_allow(text, expected):
    assert str(failure(text)) == expected
    assert set(re.findall(r"--[a-z0-9-]+", expected)) <= OPTIONS
    assert not re.search("force|argument|esptool|http", expected)


class Runs:
    """Takes the place of esptool: each run fails with the next of these texts, or not (None)."""

    def __init__(self, *texts):
        self.texts, self.bauds = list(texts), []

    def __call__(self, port, arguments, doing, line_came, options, files=()):
        self.bauds.append(int(options[options.index("--baud") + 1]))
        if text := self.texts.pop(0):
            raise failure(text)
        return "Chip type: ESP32-S3 in Secure Download Mode"


def test_a_noisy_line_is_tried_again_slower(monkeypatch):
    runs, said = Runs(NOISE, None), []
    monkeypatch.setattr(esptool, "_run", runs)
    write(PORT, "esp32s3", [], lambda name, size: None, on_retry=said.append)
    assert runs.bauds == [460_800, 115_200]
    assert said == [
        f"the line to {PORT} damages what it carries, writing files: once more, at 115,200 in"
        " place of 460,800 baud"
    ]


def test_then_the_option_is_named(monkeypatch):
    monkeypatch.setattr(esptool, "_run", Runs(NOISE, NOISE))
    with pytest.raises(FlashError, match="at 115,200 baud too: give a lower --baud, as 57600"):
        write(PORT, "esp32s3", [], lambda name, size: None)
    monkeypatch.setattr(esptool, "_run", Runs(NOISE))
    with pytest.raises(FlashError, match="at 57,600 baud too: give a lower --baud, as 28800"):
        identify_chip(PORT, 57_600)


def test_other_failures_are_not_tried_again(monkeypatch):
    runs = Runs("Secure Boot V1 detected")
    monkeypatch.setattr(esptool, "_run", runs)
    with pytest.raises(FlashError, match=r"\(Secure Boot\): use another board"):
        write(PORT, "esp32s3", [], lambda name, size: None)
    assert len(runs.bauds) == 1
    monkeypatch.setattr(esptool, "_run", Runs(None))
    with pytest.raises(FlashError, match=r"\(Secure Boot\): use another board"):
        identify_chip(PORT)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, (460_800, 115_200)),
        (57_600, (57_600,)),
        (921_600, (921_600, 460_800, 115_200)),
        (115_200, (115_200,)),
    ],
)
def test_the_speed_that_is_given_is_the_first(given, expected):
    assert choose_bauds(given) == expected


def test_esptool_on_a_line_that_is_noisy_above_115_200_baud(micropython, tmp_path):
    image, said = micropython_image(boards.load("esp32s3")), []
    segments = [Segment("MicroPython", 0, image)]
    with StandinBoard(tmp_path, kind="esp32s3", blank=True) as board:
        board.noisy_above = 115_200
        write(board.port, "esp32s3", segments, lambda name, size: None, on_retry=said.append)
        assert board.flash.read(0, len(image)) == image
    assert len(said) == 1
