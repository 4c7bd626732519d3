"""A board at another machine's serial port (RFC 2217), through every command that takes ports."""

import gc
import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest

from host import doctor, flash, monitor, run
from host.cluster import ready_check
from host.cluster.cluster_file import change, make_key, read
from host.diagnosis import examination, listening
from host.paths import HOME_MODEL
from tests.clusters import cluster_file
from tests.host.flashed_boards import flashed_board
from tests.host.rfc2217_server import Rfc2217Server
from tests.shipped import shipped_model
from tests.standin_board.board import StandinBoard
from tests.standin_board.farm import standin_boards, standin_firmware

KIND = "esp32s3-psram"  # one of which holds the model
PROMPT, ANSWER = "turn off the kitchen lights", "light.kitchen off\n"


class Enough(Exception):
    """The monitor has shown what was awaited."""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder, with boards whose code runs here; this machine may be busy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDERATION_BOARDS", str(standin_boards(tmp_path / "boards")))
    monkeypatch.setattr(examination, "_RESTART_TIMEOUT", 30.0)
    monkeypatch.setattr(listening, "_DISCOVER_AFTER", 0.1)


def flash_options(url, *more):
    return ["--board", KIND, "--chip-id", "0", "--chips", "1", "--port", url,
            "--link", "uart", "--context", "32", *more]  # fmt: skip


def test_all_commands_but_esptool_s(micropython, tmp_path, monkeypatch, capsys):
    def show(line):
        if "chip 0: ready: firmware " in line:
            raise Enough

    monkeypatch.setattr(ready_check, "_START_SECONDS", 0.5)
    monkeypatch.setattr(monitor, "_print", show)
    model = shipped_model()
    cluster = cluster_file(
        1, model=str(HOME_MODEL), digest=model.sha256()[:8], context=32, key=make_key()
    )
    with ExitStack() as stack:
        board, cluster = flashed_board(stack, tmp_path, model, cluster, 0, kind=KIND)
        server = stack.enter_context(Rfc2217Server(board.port))
        remote = (replace(cluster.flashed[0], port=server.url),)
        change(lambda _: replace(cluster, flashed=remote))
        assert run.main(["--ports", server.url, "--prompt", PROMPT, "--no-stats"]) == 0
        assert capsys.readouterr().out == ANSWER
        assert doctor.main([]) == 0
        assert "ok: the node was interrupted for this and runs again" in capsys.readouterr().out
        assert flash.main(flash_options(server.url, "--update")) == 0
        said = capsys.readouterr().out
        assert f"chip 0 of 1 on {server.url} ({KIND}, 24:00:00:00:00:00): " in said
        assert "\nready: model " in said
        with pytest.raises(Enough):
            monitor.main([server.url])
        gc.collect()  # pyserial's client waits when it is closed, and again when it is collected
    assert server.clients >= 5
    assert not [one for one in threading.enumerate() if "RFC 2217" in one.name]


@pytest.mark.verify  # esptool renegotiates the line at each change of a timeout, 0.1 s each
@pytest.mark.timeout(400)
def test_a_blank_board_is_flashed(micropython, tmp_path, capsys):
    firmware = standin_firmware(tmp_path / "firmware", kinds=[KIND])
    own = tmp_path / "board"
    own.mkdir()
    with StandinBoard(own, kind=KIND, blank=True) as board, Rfc2217Server(board.port) as server:
        assert flash.main(flash_options(server.url, "--firmware", str(firmware))) == 0
    said = capsys.readouterr().out
    assert f"chip 0 of 1 on {server.url} ({KIND}, 24:0a:c4:00:00:01): " in said
    assert "\nready: model " in said
    assert read().flashed[0].port == server.url
