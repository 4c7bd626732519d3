"""The command line of updating a board, and each error that a user can meet, in one line."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
import tty
from dataclasses import replace
from threading import Timer

import pytest
from rich.console import Console

from host.cli import flash_job, flashing
from host.cli.flash_job import prepare_job
from host.cluster import cluster_file, ready_check
from host.cluster.cluster_fields import FlashedChip
from host.cluster.cluster_plan import plan_cluster
from host.flash import main, parsed
from host.flashing import board_files
from host.flashing.board_files import BoardFiles
from host.flashing.changes import Changes
from host.links.discovery import Candidate
from host.model.formats import quantized_file
from host.model.quantization.quantize import quantize
from tests.host.fake_chips import FakeChip
from tests.host.model_files import VOCABULARY, config_of, grouped_checkpoint, small_tokenizer
from tests.host.pty_chips import PtyChip
from tests.host.test_flash import mpremote
from tests.simulation.launch import REPOSITORY
from tests.standin_board.board import StandinBoard


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return model_file(tmp_path_factory.mktemp("model") / "model.q", 8, 2, 2, 24)


def model_file(path, *dimensions):
    checkpoint = grouped_checkpoint(config_of(*dimensions, VOCABULARY), True)
    quantized_file.save(quantize(checkpoint), small_tokenizer(), path)
    return path


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder, in which federation.toml is kept."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def board(micropython, tmp_path):
    """It claims the real board's architecture, so it can be given files but not run them."""
    with StandinBoard(tmp_path, arch="xtensawin") as standin:
        yield standin


@pytest.fixture
def arguments(model):
    """A complete command line, in which options are replaced or, by None, left out."""

    def line(port, **replaced):
        options = {
            "board": "esp32s3", "chip_id": 1, "chips": 2, "port": port, "model": model,
            "link": "uart", "line": "pins", "reduce": "host",
        }  # fmt: skip
        words = [
            word
            for name, value in (options | replaced).items()
            if value is not None
            for word in ("--" + name.replace("_", "-"), str(value))
        ]
        return ["--update", *words]

    return line


@pytest.fixture
def error(arguments, capsys):
    """The one line with which a command line fails."""

    def failing(port, **replaced):
        assert main(arguments(port, **replaced)) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        (line,) = printed.err.splitlines()
        assert line.startswith("error: ")
        return line.removeprefix("error: ")

    return failing


@pytest.fixture
def silent_port():
    master, slave = os.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


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


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("board", "no board: give --board or BOARD="),
        ("port", "no board is plugged in: connect one with a cable for data, or give PORT="),
        ("chip_id", "no chip-id: give --chip-id or CHIP_ID="),
    ],
)
def test_an_option_that_is_left_out(error, silent_port, option, line, monkeypatch):
    monkeypatch.setattr(flash_job, "find_candidates", list)
    left = {"port": silent_port} | {option: None}
    assert error(**left) == line


@pytest.mark.parametrize("option", ["chips", "context"])
def test_no_chips_or_positions(arguments, capsys, option):
    with pytest.raises(SystemExit, match="2"):
        main(arguments("none", **{option: 0}))
    assert f"argument --{option}: '0' is no whole number from 1 to " in capsys.readouterr().err


def test_a_question_that_is_not_answered(arguments, capsys, monkeypatch):
    def ended(question):
        raise EOFError

    two = [Candidate("/dev/ttyACM0"), Candidate("/dev/ttyACM1")]
    monkeypatch.setattr(flash_job, "find_candidates", lambda: two)
    monkeypatch.setattr("builtins.input", ended)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert main(arguments(None)) == 1
    assert capsys.readouterr().err == "error: no answer, and nothing was changed\n"


def test_a_chip_on_the_gateways_port_is_not_asked(arguments, monkeypatch):
    """Boards flashed one after another at one cable: the gateway is not there any more."""
    monkeypatch.setattr(flashing, "find_candidates", list)
    monkeypatch.setattr(
        flashing, "await_ready", lambda *_: pytest.fail("a radio chip's prompt was asked")
    )
    options = parsed(arguments("one", link="espnow", line="usb"))
    job = prepare_job(options, Console(), None)
    gateway = FlashedChip(0, "esp32s3", "24:0a:c4:00:00:09", "one")
    job = replace(job, cluster=job.cluster.with_chip(gateway))
    said, port = flashing.check_ready(job, "24:0a:c4:00:00:01", Console())
    assert said.endswith("reached through chip 0, not plugged in now") and port == "one"


def test_a_board_whose_native_usb_comes_back_elsewhere(arguments, monkeypatch):
    """Under another name after the reset, which is found by its MAC and recorded."""
    mac = "24:0a:c4:00:00:01"
    content = quantized_file.load(parsed(arguments("x")).model)[0]
    chip = FakeChip(1)
    chip.model_hash = content.sha256()[:8]
    with PtyChip(chip) as board, PtyChip() as another:
        listed = []  # at first it is not there at all
        monkeypatch.setattr(flashing, "find_candidates", lambda: listed)
        monkeypatch.setattr(ready_check, "_START_SECONDS", 0.1)
        monkeypatch.setattr(ready_check, "firmware_version", lambda: "0")

        def written(*_):
            Timer(0.6, listed.append, [Candidate(board.url, mac)]).start()
            return mac, "written"

        monkeypatch.setattr(flashing, "update_board", written)
        listed.append(Candidate(another.url, "24:0a:c4:00:00:09"))  # who has taken its old name
        line = arguments(another.url, line="usb")
        assert main([*line, "--no-key"]) == 0
    (entry,) = cluster_file.read().flashed
    assert (entry.mac, entry.port) == (mac, board.url)


def test_boards_that_are_named_for_all_chips(arguments, silent_port):
    """Each is flashed with the shard that the cluster has for it from the beginning."""
    both = "esp32s3,esp32c3"
    options = parsed(arguments(silent_port, boards=both, board=None, chips=None))
    job = prepare_job(options, Console(), None)
    assert (job.place.board.name, job.place.chips) == ("esp32c3", 2)
    assert job.cluster.boards == ("esp32s3", "esp32c3")
    cluster_file.change(lambda _: job.cluster)
    again = prepare_job(parsed(arguments(silent_port, chip_id=0)), Console(), None)
    plan = again.place.plan(again.model)
    assert plan == job.place.plan(job.model) == plan_cluster(again.model, again.cluster)
    assert len(plan.shards[0].units) > len(plan.shards[1].units)
    fewer = prepare_job(
        parsed(arguments(silent_port, chips=1, chip_id=0)), Console(), None
    )
    assert fewer.cluster.boards == ()


def test_boards_that_cannot_be(error, silent_port):
    assert error(silent_port, boards="esp32s3,esp32c3") == (
        "chip 1 is to be an esp32c3, by the boards that were named for all chips, and this is an"
        " esp32s3"
    )
    assert error(silent_port, boards="esp32s3") == "1 boards are named for 2 chips"
    assert "esp32s9" in error(silent_port, boards="esp32s3,esp32s9")
    assert error(silent_port, boards="esp32s3,esp32s3", board=None, chip_id=7) == (
        "no chip 7: 2 chips have the ids 0 to 1"
    )


def test_the_channel_of_the_file_reaches_the_chip(arguments, silent_port, tmp_path):
    """Which is on no command line: whoever wants another one writes it into the file."""
    options = parsed(arguments(silent_port, link="espnow", line="usb"))
    job = prepare_job(options, Console(), None)
    cluster_file.change(lambda _: replace(job.cluster, channel=11))
    job = prepare_job(options, Console(), None)
    files = job.place.files(job.model, (1, 27, 0))
    assert job.cluster.channel == json.loads(files["config.json"])["radio"]["channel"] == 11


def test_nothing_is_recorded_before_a_port_has_opened(error, tmp_path):
    error(tmp_path / "ttyACM7")
    assert cluster_file.read() is None


def test_a_board_that_is_not_known_or_no_board(error, silent_port):
    assert "did you mean esp32s3" in error(silent_port, board="esp32-s3")
    assert error(silent_port, board="simulated") == (
        "simulated cannot be flashed: its chips are processes"
    )


@pytest.mark.parametrize("chip", [-1, 2])
def test_a_chip_that_the_cluster_does_not_have(error, silent_port, chip):
    assert error(silent_port, chip_id=chip) == f"no chip {chip}: 2 chips have the ids 0 to 1"


def test_a_model_that_does_not_fit(error, silent_port, tmp_path):
    path = model_file(tmp_path / "large.q", 16, 8, 2, 1024)
    line = error(silent_port, chips=1, chip_id=0, model=path)
    assert re.match(r"1 chip with \d+ KB of heap is \d+ KB short of the model .*: \d+ chips", line)


def test_a_board_too_small_for_what_the_first_was_flashed_for(
    arguments, silent_port, capsys, tmp_path
):
    """Which was chosen for boards like that one."""
    path = model_file(tmp_path / "large.q", 32, 6, 1, 400)
    options = {"model": path, "chips": 5, "reduce": None, "context": 16, "link": "espnow"}
    first = prepare_job(
        parsed(arguments(silent_port, **options, board="esp32s3-psram", parallel="pipeline")),
        Console(), None,
    )  # fmt: skip
    cluster_file.change(lambda _: first.cluster)
    assert main(arguments(silent_port, **options, board="esp32s2")) == 1
    assert re.fullmatch(
        r"error: .* KB of heap are \d+ KB short of .*\. The cluster was flashed with --parallel"
        r" pipeline: name the boards of all chips with --boards, or choose with --parallel\n",
        capsys.readouterr().err,
    )


def test_a_port_that_is_not_there_or_no_port(error, tmp_path):
    missing = tmp_path / "ttyACM7"
    assert error(missing) == (
        f"there is no port {missing}: plug the board in, with a cable for data"
    )
    missing.write_text("")
    assert error(missing) == f"{missing} is no serial port: give one, as /dev/ttyACM0"
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
