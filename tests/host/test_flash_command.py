"""The command line of flashing: its options, what is refused before a board is touched, and where
the chip is looked for afterwards."""

import json
import re
import sys
from dataclasses import replace
from functools import partial
from threading import Timer

import pytest
from rich.console import Console

from host.cli import flash_job, flashing
from host.cli.flash_job import prepare_job
from host.cluster import cluster_file, ready_check
from host.cluster.cluster_fields import FlashedChip
from host.cluster.cluster_plan import plan_cluster
from host.flash import main, parsed
from host.links.discovery import Candidate
from host.model.formats import quantized_file
from tests.host.fake_chips import FakeChip
from tests.host.flash_lines import command_line, failed_line, write_model
from tests.host.pty_chips import PtyChip


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
    assert f"argument --{option}: must be a whole number from 1 to " in capsys.readouterr().err


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


def test_a_board_that_is_not_known_or_no_board(error, silent_port):
    assert "did you mean esp32s3" in error(silent_port, board="esp32-s3")
    assert error(silent_port, board="simulated") == (
        "simulated cannot be flashed: its chips are processes"
    )


@pytest.mark.parametrize("chip", [-1, 2])
def test_a_chip_that_the_cluster_does_not_have(error, silent_port, chip):
    assert error(silent_port, chip_id=chip) == f"no chip {chip}: 2 chips have the ids 0 to 1"


def test_a_ring_is_flashed_for_a_pipeline_at_one_speed(arguments):
    ring = {"link": "ring", "line": None, "reduce": None}
    job = prepare_job(parsed(arguments("one", **ring, line_baud=921_600)), Console(), None)
    link, chosen = job.cluster.link, job.cluster.parallelism
    assert (link.kind, link.line, link.baud) == ("ring", "pins", 921_600)
    assert chosen.strategy == "pipeline" and "chosen for" in job.choice
    cluster_file.change(lambda _: job.cluster)
    assert cluster_file.read().link == link
    options = {"line": None, "reduce": None}
    again = prepare_job(parsed(arguments("one", link=None, **options)), Console(), None)
    assert again.cluster.link == link and again.choice == ""
    star = prepare_job(parsed(arguments("one", link="uart", **options)), Console(), None)
    assert (star.cluster.link.baud, star.cluster.baud) == (0, None)


def test_lines_to_pins_are_planned_with_the_speed_that_is_given_or_was_found(
    arguments, silent_port
):
    options = {"link": "uart", "line": "pins", "reduce": None, "board": "esp32s3-psram"}

    def choice(**more):
        return prepare_job(parsed(arguments(silent_port, **options, **more)), Console(), None)

    assert "over uart at 921,600 baud (modelled" in choice().choice
    job = choice(line_baud=115_200)
    assert "over uart at 115,200 baud (modelled" in job.choice
    # Lines are as fast as they carry, whatever was planned with.
    assert (job.cluster.link.baud, job.cluster.baud) == (0, None)
    cluster_file.change(lambda _: replace(job.cluster, baud=2_000_000))
    assert "over uart at 2,000,000 baud (modelled" in choice(parallel="auto").choice


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"link": "ring", "line": "usb"}, "--link ring: chips are wired at their pins: leave"),
        ({"link": "uart", "line": "usb", "line_baud": 921_600},
         "--line-baud is for --link ring and --line pins: a USB port has a speed of its own"),
        ({"link": "ring", "line": None, "reduce": "host"}, "chips in a ring hold whole layers"),
    ],
)
def test_what_a_ring_does_not_have(error, silent_port, options, line):
    assert error(silent_port, **options).startswith(line)


def test_a_model_that_does_not_fit(error, silent_port, tmp_path):
    path = write_model(tmp_path / "large.q", 16, 8, 2, 1024)
    line = error(silent_port, chips=1, chip_id=0, model=path, weights="heap")
    assert re.match(r"1 chip with \d+ KB of heap is \d+ KB short of the model .*: \d+ chips", line)


def test_a_board_too_small_for_what_the_first_was_flashed_for(
    arguments, silent_port, capsys, tmp_path
):
    """Which was chosen for boards like that one."""
    path = write_model(tmp_path / "large.q", 32, 6, 1, 400)
    options = {"model": path, "chips": 5, "reduce": None, "context": 16, "link": "espnow",
               "weights": "heap"}  # fmt: skip
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
