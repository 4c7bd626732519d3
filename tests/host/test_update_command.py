"""Updating a board from the command line: again, after each fault of a port or a board, which is
one line, and after an interrupt."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from host.cluster import cluster_file
from host.flash import main
from host.flashing import board_files
from host.flashing.board_files import BoardFiles
from host.flashing.changes import Changes
from tests.host.flash_lines import command_line, failed_line, write_model
from tests.host.test_flash import mpremote
from tests.simulation.launch import REPOSITORY
from tests.standin_board.board import StandinBoard


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "model.q")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder, in which federation.toml is kept."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def arguments(model):
    return partial(command_line, model)


@pytest.fixture
def error(arguments, capsys):
    return lambda port, **replaced: failed_line(capsys, arguments(port, **replaced))


@pytest.fixture
def board(micropython, tmp_path):
    """It claims the real board's architecture, so it can be given files but not run them."""
    with StandinBoard(tmp_path, arch="xtensawin") as standin:
        yield standin


def test_a_board_is_flashed_and_flashed_again(board, arguments, capsys):
    def flash():
        """Until the board has been reset: what is sent before that is lost."""
        resets = board.resets
        assert main(arguments(board.port)) == 0
        board.await_reset(resets)

    chip = f"chip 1 of 2 on {board.port} (esp32s3, 24:0a:c4:00:00:01): MicroPython 1.27.0, "
    silence = "not asked whether it is ready: its line is not this port\n"
    flash()
    first = capsys.readouterr()
    assert first.out.startswith(chip)
    assert first.out.endswith(f" copied, 0 were there\n{silence}")
    assert first.err == ""
    files = int(first.out.removeprefix(chip).split()[0])
    flash()
    again = f"{chip}0 files (0 bytes) copied, {files} were there"
    assert capsys.readouterr().out == f"{again}\n{silence}"
    mpremote(board, "fs", "touch", ":protocol/older.mpy")
    flash()
    assert capsys.readouterr().out == f"{again}, 1 old ones removed\n{silence}"


def test_nothing_is_recorded_before_a_port_has_opened(error, tmp_path):
    error(tmp_path / "ttyACM7")
    assert cluster_file.read() is None


def test_a_port_that_is_not_there_or_no_port(error, tmp_path):
    missing = tmp_path / "ttyACM7"
    assert error(missing) == (
        f"there is no port {missing}: plug the board in, with a cable for data"
    )
    missing.write_text("")
    assert error(missing) == f"{missing} is not a serial port: give one, such as /dev/ttyACM0"
    assert error("nothing://here").startswith("cannot open nothing://here: invalid URL")


def test_a_port_that_another_program_holds(error, silent_port):
    with open(silent_port, "rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert error(silent_port) == f"another program holds {silent_port}: end it"


def test_a_port_without_an_answer(error, silent_port, monkeypatch):
    monkeypatch.setattr(board_files, "ATTEMPTS", (0.1, 0.1))
    assert error(silent_port).startswith(f"no MicroPython answers on {silent_port}: ")


def test_a_board_of_another_architecture(error, board):
    assert error(board.port, board="esp32c3") == (
        f"the board on {board.port} loads code for xtensawin, and esp32c3 is rv32imc: is it"
        " another board?"
    )


def test_an_older_micropython(error, micropython, tmp_path):
    with StandinBoard(tmp_path, arch="xtensawin", version="1.25.0") as board:
        assert error(board.port) == (
            f"MicroPython 1.25.0 on {board.port}: 1.26 or later is needed, for 1.25 compiles"
            " wrong code for Xtensa"
        )


def test_a_board_that_is_unplugged(error, board):
    board.unplug_after(20_000)
    line = error(board.port)
    assert line.startswith(f"lost the board on {board.port} while writing ")
    assert line.endswith(": the same command goes on from there")


def test_a_full_file_system_says_so(error, micropython, tmp_path):
    with StandinBoard(tmp_path, arch="xtensawin", blocks=16) as board:
        assert error(board.port).startswith("no room on the board: ")


def test_a_file_system_that_fills_up_all_the_same(error, micropython, tmp_path, monkeypatch):
    monkeypatch.setattr(Changes, "blocks", lambda *_: 0)
    with StandinBoard(tmp_path, arch="xtensawin", blocks=16) as board:
        start = f"the file system of the board on {board.port} became full while writing "
        assert error(board.port).startswith(start)


def test_a_file_where_a_folder_belongs(error, board):
    mpremote(board, "fs", "touch", ":firmware")
    start = f"the board on {board.port} failed while listing its files: OSError: "
    assert error(board.port).startswith(start)


def test_a_file_that_is_damaged_on_the_way(error, board, monkeypatch):
    write = BoardFiles.write

    def damaged(files, path, content, written):
        changed = content[:-1] + b"?" if path == "protocol/frame.mpy" else content
        write(files, path, changed, written)

    with monkeypatch.context() as patch:
        patch.setattr(BoardFiles, "write", damaged)
        assert error(board.port) == "protocol/frame.mpy did not reach the board intact: try again"
    assert "main.py" not in mpremote(board, "fs", "ls")


def test_an_interrupted_command_says_how_to_go_on(board, arguments):
    command = subprocess.Popen(
        [sys.executable, "-m", "host.flash", *arguments(board.port)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A test run in the background may ignore interrupts, which a child would inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    end = time.monotonic() + 60
    while board.received < 10_000:
        assert time.monotonic() < end and command.poll() is None
        time.sleep(0.005)
    command.send_signal(signal.SIGINT)
    output, errors = command.communicate(timeout=60)
    assert (command.returncode, output) == (130, "")
    assert re.fullmatch(
        r"interrupted while writing [\w/]+\.mpy: the same command goes on from here\n", errors
    )
    assert main(arguments(board.port)) == 0
