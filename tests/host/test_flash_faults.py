"""Faults of boards, ports and images while the whole flash is written, by the real esptool: one
line each, and the next attempt succeeds."""

import fcntl
import io
import re
import subprocess
import sys
from functools import partial, partialmethod

import pytest
from rich.console import Console

from host import flash as command
from host.cli import flash_job, flashing
from host.cluster import cluster_file, ready_check
from host.cluster.cluster_fields import FlashedChip
from host.flash import main
from host.flashing import esptool
from host.hardware import boards
from host.links.discovery import Candidate
from tests.host.flash_lines import write_model
from tests.simulation.launch import REPOSITORY
from tests.standin_board.board import StandinBoard
from tests.standin_board.farm import standin_firmware
from tests.standin_board.micropython_image import TABLE, micropython_image, partition_table


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "model.q")


@pytest.fixture(scope="module")
def firmware(tmp_path_factory):
    return standin_firmware(tmp_path_factory.mktemp("firmware"))


@pytest.fixture
def board(micropython, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with StandinBoard(tmp_path, blank=True) as standin:
        yield standin


@pytest.fixture
def arguments(model, firmware):
    """A complete command line, and more of it. The board's line is on pins, so that nobody waits:
    the stand-in cannot run xtensawin."""

    def words(port, *more, path=firmware):
        line = ["--board", "esp32s3", "--chip-id", "1", "--chips", "2", "--link", "uart",
                "--line", "pins", "--port", port, "--model", model, "--firmware", path,
                "--reduce", "host"]
        return [str(word) for word in [*line, *more]]

    return words


@pytest.fixture
def attempt(arguments, capsys):
    """Flashes: what was printed if that succeeded, and the line of its error otherwise."""

    def tried(port, *more, **path):
        code = main(arguments(port, *more, **path))
        printed = capsys.readouterr()
        if code == 0:
            assert printed.err == ""
            return printed.out
        assert code == 1 and printed.out == ""
        (line,) = printed.err.splitlines()
        return line

    return tried


KINDS = {
    board.chip: name
    for name, board in zip(boards.names(), map(boards.load, boards.names()), strict=True)
    if not board.is_simulated
}


@pytest.mark.parametrize("chip", KINDS)
def test_every_kind_of_chip_is_identified(micropython, tmp_path, chip):
    with StandinBoard(tmp_path, kind=KINDS[chip], blank=True) as board:
        found = esptool.identify_chip(board.port)
    size = boards.load(KINDS[chip]).flash.size
    assert (found.kind, found.mac, found.flash_size) == (chip, "24:0a:c4:00:00:01", size)


def has_own_place(chip):
    """Whether it is the first whose bootloader is at its offset: of others `verify` asks."""
    offset = boards.load(KINDS[chip]).flash.offset
    return chip == next(c for c in KINDS if boards.load(KINDS[c]).flash.offset == offset)


@pytest.mark.parametrize(
    "chip",
    [c if has_own_place(c) else pytest.param(c, marks=pytest.mark.verify) for c in KINDS],
)
def test_every_kind_of_chip_is_flashed_where_its_bootloader_is(micropython, tmp_path, chip):
    kind = boards.load(KINDS[chip])
    image = micropython_image(kind)
    segment = esptool.Segment("MicroPython", kind.flash.offset, image)
    with StandinBoard(tmp_path, kind=kind.name, blank=True) as board:
        esptool.write(board.port, chip, [segment], lambda name, size: None)
        assert board.flash.read(kind.flash.offset, len(image)) == image


def test_a_chip_that_is_asked_stays_in_its_bootloader(board, monkeypatch):
    """Where a user may have brought it by hand: a reset would throw it out."""
    said = []
    run = esptool._run
    monkeypatch.setattr(esptool, "_run", lambda *asked: said.append(run(*asked)) or said[-1])
    esptool.identify_chip(board.port)
    assert "Staying in bootloader" in said[0] and "Hard resetting" not in said[0]
    esptool.leave_bootloader(board.port)
    assert "Hard resetting" in said[1]


def in_flash(board):
    """Whether MicroPython is in a board's flash, and after it something else."""
    image = micropython_image(boards.load("esp32s3"))
    region = boards.load("esp32s3").flash.filesystem_offset
    return board.flash.read(0, len(image)) == image and b"littlefs" in board.flash.read(region, 64)


def test_a_cell_that_does_not_keep_what_is_written(board, attempt):
    board.flash.damage_next_write()
    line = attempt(board.port)
    assert line.startswith(f"error: the flash of the board on {board.port} does not hold what was")
    assert "verifying MicroPython" in line and line.endswith(": the same command tries again")
    assert cluster_file.read().flashed == ()
    assert "in the flash and verified" in attempt(board.port)
    assert in_flash(board)


@pytest.mark.parametrize(
    ("offset", "what"),
    [(0, "MicroPython"), pytest.param(0x200000, "files", marks=pytest.mark.verify)],
)
def test_a_board_unplugged_in_the_middle(board, attempt, offset, what):
    port = board.port
    board.unplug_at(offset)
    line = attempt(port)
    assert line.startswith(f"error: lost the board on {port} while ")
    assert f"writing {what}" in line and line.endswith(": the same command goes on")
    board.replug()
    assert "in the flash and verified" in attempt(board.port)
    assert in_flash(board)


def test_a_chip_of_another_kind(micropython, tmp_path, monkeypatch, attempt):
    monkeypatch.chdir(tmp_path)
    with StandinBoard(tmp_path, kind="esp32c3", blank=True) as board:
        assert attempt(board.port) == (
            f"error: the chip on {board.port} is an esp32c3, and esp32s3 has an esp32s3: is it"
            " another board, or another port?"
        )
        assert attempt(board.port, "--board", "esp32c3").startswith("chip 1 of 2 on ")


def test_a_port_that_another_program_holds(board, attempt):
    with open(board.port, "rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        line = attempt(board.port)
        assert line.startswith(f"error: another program holds {board.port}: end ")
    assert attempt(board.port).startswith("chip 1 of 2 on ")


def test_an_image_for_another_chip(board, attempt, firmware):
    wrong = firmware / "ESP32_GENERIC_C3-20251209-v1.27.0.bin"
    assert attempt(board.port, path=wrong) == (
        f"error: {wrong} is an image for esp32c3, and esp32s3 has an esp32s3"
    )
    assert board.flash.read(0, 4096) == b"\xff" * 4096
    assert cluster_file.read() is None  # nor are the options kept of what was not done
    assert attempt(board.port).startswith("chip 1 of 2 on ")


def test_a_file_system_that_is_too_small(board, attempt, tmp_path):
    image = bytearray(micropython_image(boards.load("esp32s3")))
    table = partition_table([("factory", 0, 0, 0x10000, 0x20000), ("vfs", 1, 0x81, 0x30000, 8192)])
    image[TABLE : TABLE + len(table)] = table
    small = tmp_path / "small.bin"
    small.write_bytes(image)
    line = attempt(board.port, path=small)
    assert line.startswith("error: the file system has 8 KB, too little for ")
    assert board.flash.read(0, 4096) == b"\xff" * 4096
    assert attempt(board.port).startswith("chip 1 of 2 on ")


def test_a_port_where_nothing_answers(micropython, tmp_path, monkeypatch, attempt, silent_port):
    monkeypatch.chdir(tmp_path)
    assert attempt(silent_port).startswith(f"error: no bootloader answers on {silent_port}: ")
    assert cluster_file.read() is None


def test_flashing_again_is_quick_and_changes_nothing(board, attempt):
    attempt(board.port)
    before, content = board.received, board.flash.read(0, board.flash.size)
    attempt(board.port)
    assert board.received - before < 60_000
    assert board.flash.read(0, board.flash.size) == content


def test_at_a_terminal_bars_show_how_far_it_is(board, attempt, monkeypatch):
    screen = io.StringIO()
    terminal = partial(Console, file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(command, "Console", lambda stderr: terminal())
    # Each state is shown, whatever time there was for it.
    shown = partialmethod(flashing.Progress.update, refresh=True)
    monkeypatch.setattr(flashing.Progress, "update", shown)
    attempt(board.port)
    for what in ("MicroPython", "files"):
        assert re.search(rf"writing {what} .*\d/\d+(\.\d+)? .B", screen.getvalue())


def test_a_program_that_ends_at_once_is_quoted(board, arguments, monkeypatch, capsys):
    """An x86 board given xtensawin code, whose program fails again and again. It is listened to
    until it has, however busy this machine is, and sent nothing that might interrupt it."""
    monkeypatch.setattr(ready_check, "_START_SECONDS", 60.0)
    assert main(arguments(board.port, "--line", "usb")) == 1
    printed = capsys.readouterr()
    assert printed.out.endswith(" in the flash and verified\n")
    assert printed.err == (
        "error: the board was written, and its program fails: ValueError: incompatible .mpy arch\n"
    )


def test_taking_the_place_of_another_board_takes_a_yes(
    micropython, tmp_path, monkeypatch, attempt, board
):
    (tmp_path / "other").mkdir()
    with StandinBoard(tmp_path / "other", blank=True, mac="240ac4000002") as other:
        attempt(board.port)
        left = []
        monkeypatch.setattr(flashing, "leave_bootloader", left.append)
        assert attempt(other.port) == (
            "error: chip 1 is another board (esp32s3, 24:0a:c4:00:00:01): replace it by this one"
            " (24:0a:c4:00:00:02) only with --yes"
        )
        assert attempt(board.port, "--chip-id", "0") == (
            "error: this board (24:0a:c4:00:00:01) is chip 1 of the cluster: make it chip 0 only"
            " with --yes"
        )
        assert left == [other.port, board.port]  # they are not left in their bootloaders
        attempt(other.port, "--yes")
    (chip,) = cluster_file.read().flashed
    assert (chip.id, chip.mac) == (1, "24:0a:c4:00:00:02")


def test_other_settings_for_one_chip_name_those_to_flash_again(board, attempt, capsys):
    attempt(board.port)
    before = cluster_file.read()
    cluster_file.change(
        lambda old: old.with_chip(FlashedChip(0, "esp32s3", "24:0a:c4:00:00:09", "x"))
    )
    said = attempt(board.port, "--context", "8")
    # Printed before the chip is waited for, which may end in an error.
    assert said.splitlines()[-2:] == [
        "the cluster has changed: flash again chip 0",
        "not asked whether it is ready: its line is not this port",
    ]
    after = cluster_file.read()
    assert (after.context, after.key) == (8, before.key) and len(after.flashed) == 2


def test_an_interrupted_flash_is_finished_by_the_next(board, arguments, attempt, tmp_path):
    command = subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED, *arguments(board.port)],
        cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    output, errors = command.communicate(timeout=60)
    assert (command.returncode, output) == (130, ""), errors
    assert re.fullmatch(
        r"interrupted while writing MicroPython, \d+ KB at 0x0: the same command goes on from"
        r" here\n",
        errors,
    )
    assert "in the flash and verified" in attempt(board.port)
    assert in_flash(board)


# Ctrl-C as the first bytes are reported written.
_INTERRUPTED = """
import sys
from host import flash
from host.flashing import esptool
line_came = esptool._Place.line
def interrupt(place, line):
    line_came(place, line)
    if line.startswith("Writing at"):
        raise KeyboardInterrupt
esptool._Place.line = interrupt
sys.exit(flash.main(sys.argv[1:]))
"""


def test_the_port_is_asked_for(monkeypatch, attempt, board):
    two = [Candidate("/dev/ttyUSB7"), Candidate("x")]
    monkeypatch.setattr(flash_job, "find_candidates", lambda: two)
    assert attempt("") == (
        "error: several boards are plugged in: give PORT= as one of /dev/ttyUSB7, x"
    )
