"""The doctor: the cluster's file, its model, and two boards on the air from end to end."""

from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest
import serial

from host import doctor
from host.build.compilation import chip_module
from host.build.packages import chip_path
from host.cluster.cluster_file import change
from host.diagnosis import examination, node
from host.diagnosis.examination import check_file
from host.diagnosis.model_check import check_model
from host.diagnosis.prompt import Prompt
from host.doctor import main
from host.launch import FlashedBoards, open_cluster
from host.model.formats import quantized_file
from host.model.quantization.quantize import quantize
from host.simulation.hub import HubProcess
from protocol import message_types
from tests.clusters import cluster_file
from tests.host.attached_clusters import NARROW
from tests.host.doctor_cases import CLUSTER, KEY, fault
from tests.host.flashed_boards import flashed_board
from tests.host.model_files import small_tokenizer
from tests.host.test_attached import assert_equals_reference
from tests.host.tiny import random_checkpoint
from tests.simulation.launch import REPOSITORY
from tests.standin_board.board import StandinBoard


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_cluster_s_file(tmp_path):
    change(lambda _: replace(CLUSTER, chips=4))
    assert fault(check_file(replace(CLUSTER, chips=4))) == "chip 3 of 4 was never flashed"
    (tmp_path / "federation.toml").chmod(0o644)
    assert fault(check_file(CLUSTER)) == "others can read federation.toml and the key in it"
    assert [finding.kind for finding in check_file(None)] == ["not looked at"]


def test_whether_the_model_fits_is_what_a_run_would_find(tmp_path):
    model = quantize(random_checkpoint(NARROW))
    quantized_file.save(model, small_tokenizer(), "model.q")
    cluster = replace(CLUSTER, model="model.q", model_hash=model.sha256()[:8], context=8)
    assert [str(each) for each in check_model(cluster)] == ["ok: model.q fits the boards"]
    other = replace(cluster, model_hash=bytes(8))
    assert fault(check_model(other)).endswith("and the boards were flashed with " + 16 * "0")
    longer = replace(cluster, context=NARROW.context + 1)
    assert fault(check_model(longer)).startswith("context must be 1 to ")
    (found,) = check_model(replace(cluster, model="none.bin"))
    assert (found.kind, found.text[:39]) == (
        "not looked at", "whether the model fits: none.bin: canno"
    )  # fmt: skip


def test_a_port_is_given_without_an_option(capsys):
    with pytest.raises(SystemExit):
        main(["--port", "/dev/ttyACM0"])
    assert capsys.readouterr().err == "error: no option --port: give the PORT without it\n"


def test_no_board_and_a_file_that_is_none(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "list_board_ports", lambda cluster: [])
    assert main([]) == 1
    assert "wrong: no board on any port. Plug one in" in capsys.readouterr().out
    (tmp_path / "federation.toml").write_text("model = ")
    assert main([]) == 1
    assert capsys.readouterr().err.startswith("error: federation.toml: not a TOML file: ")


def test_a_prompt_at_which_frames_were_typed(micropython, tmp_path):
    """What a doctor asks a node goes to the prompt where none runs: in part a line, in part keys,
    and no text."""
    with StandinBoard(tmp_path) as board:
        with serial.Serial(board.port, timeout=10) as port:
            assert port.read_until(b">>> ").endswith(b">>> ")
            port.write(b"x = 7\r" + b"\xff\xc3\r" + b"\x01\xff\x04" + b"\x06\x02\x01\xfe\xff")
        with Prompt(board.port) as prompt:
            assert prompt.output("print(x)") == "7\r\n"


@contextmanager
def boards_on_the_air(folder, alter=lambda chip, files: None):
    """Two, flashed, with their cluster and its model; alter: changes a chip's files."""
    model = quantize(random_checkpoint(NARROW))
    cluster = cluster_file(
        2, "espnow", model="narrow.bin", digest=model.sha256()[:8], key=KEY
    )
    with ExitStack() as stack:
        hub = stack.enter_context(HubProcess())
        for chip in range(2):
            _, cluster = flashed_board(stack, folder, model, cluster, chip, hub, change=alter)
        change(lambda _: cluster)
        assert node.await_node(cluster.flashed[0].port, KEY, 30).kind == message_types.READY
        yield model, cluster


def assert_lines(text, *lines):
    for line in lines:
        assert line in text, text


def test_boards_on_the_air_from_end_to_end(micropython, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(examination, "_RESTART_TIMEOUT", 30.0)  # this machine may be busy
    with boards_on_the_air(tmp_path) as (model, cluster):
        with open_cluster(model, FlashedBoards(cluster, list_ports=list)) as run:
            assert_equals_reference(model, run)
        assert main([]) == 0
    assert_lines(
        capsys.readouterr().out,
        "ok: chip 0 runs firmware",
        "ok: chip 1 runs firmware",
        "ok: power save is off",
        "ok: the radio is on channel 1",
        "ok: MicroPython 1.27.0 on Stand-in board with x86, MAC 24:00:00:00:00:00",
        "ok: the gateway receives chip 1 at -",
        "ok: the node was interrupted for this and runs again",
        "not looked at: whether its node runs: it answers by radio",
    )


@pytest.mark.verify
def test_power_save_of_a_node_that_runs(micropython, tmp_path, capsys, monkeypatch):
    """Found before the node's memory is emptied, for it is what the node had set."""
    monkeypatch.setattr(examination, "_RESTART_TIMEOUT", 30.0)

    def saving(chip, files):
        path = "firmware/links/wifi.py"
        source = (REPOSITORY / path).read_text()
        assert "network.WLAN.PM_NONE" in source
        source = source.replace("network.WLAN.PM_NONE", "network.WLAN.PM_PERFORMANCE")
        assert chip_path(path) in files
        files[chip_path(path)] = chip_module(source, path, "x86")

    with boards_on_the_air(tmp_path, saving) as (_, cluster):
        assert main([cluster.flashed[0].port]) == 1
    assert_lines(
        capsys.readouterr().out,
        "wrong: power save is on (pm=1): a radio that sleeps loses frames. Set it off",
        "ok: the radio is on channel 1",
        "ok: the node was interrupted for this and runs again",
    )


@pytest.mark.verify
def test_a_gateway_of_another_key_from_end_to_end(micropython, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(node, "_WITHOUT_KEY", 0.3)
    monkeypatch.setattr(examination, "_RESTART_TIMEOUT", 30.0)
    with boards_on_the_air(tmp_path) as (_, cluster):
        change(lambda old: replace(old, key=bytes(32)))
        assert main([cluster.flashed[0].port]) == 1
    assert_lines(
        capsys.readouterr().out,
        "wrong: it has another key than federation.toml",
        "wrong: the gateway does not receive chip 1",
        "ok: the board was started again, and its node runs",
    )
