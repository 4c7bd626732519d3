"""`python -m host.run --ports` on stand-in boards, which find themselves at other ports."""

import threading
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import host
from host.cli import run_values
from host.cluster.cluster_file import change, make_key
from host.launch import FlashedBoards, flashed
from host.paths import HOME_MODEL
from host.run import main
from tests.clusters import cluster_file
from tests.host.flashed_boards import flashed_board
from tests.host.test_ports import ESPRESSIF, ListedPort
from tests.shipped import shipped_model

KIND = "esp32s3-psram"  # so that two hold the model
PROMPT, ANSWER = "turn off the kitchen lights", "light.kitchen off\n"


def test_boards_of_a_cluster_with_a_key(micropython, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = shipped_model()
    cluster = cluster_file(
        2, model=str(HOME_MODEL), digest=model.sha256()[:8], context=32, key=make_key()
    )
    with ExitStack() as stack:
        for chip in range(2):
            _, cluster = flashed_board(stack, tmp_path, model, cluster, chip, kind=KIND)
        first, second = cluster.flashed
        listed = [ListedPort(one.port, ESPRESSIF, one.mac) for one in cluster.flashed]
        found = partial(FlashedBoards, list_ports=lambda: listed)
        monkeypatch.setattr(run_values, "FlashedBoards", found)
        swapped = (replace(first, port=second.port), replace(second, port=first.port))
        change(lambda _: replace(cluster, flashed=swapped))
        assert main(["--ports", "auto", "--prompt", PROMPT]) == 0
        printed = capsys.readouterr()
        assert printed.out == ANSWER and "a second, the first after" in printed.err
        ports = f"{second.port},{first.port}"
        assert main(["--ports", ports, "--prompt", PROMPT, "--no-stats"]) == 0
        assert capsys.readouterr().out == ANSWER
        with host.connect([second.port, first.port]) as boards:
            assert boards.generate(PROMPT).text == ANSWER.rstrip()
            assert not boards.is_simulated and boards.context == 32
            assert boards.choice == "parallelism: tensor, host reduce (as flashed)"


def test_a_board_that_is_unplugged_and_plugged_in_again_goes_on(
    micropython, tmp_path, monkeypatch, capsys, caplog
):
    """In the midst of an answer, and its port has another name afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(flashed, "TIMEOUT", 60.0)  # this machine may be busy
    model = shipped_model()
    cluster = cluster_file(2, model=str(HOME_MODEL), digest=model.sha256()[:8], context=32)
    boards = []
    with ExitStack() as stack:
        for chip in range(2):
            board, cluster = flashed_board(stack, tmp_path, model, cluster, chip, kind=KIND)
            boards.append(board)
        first, second = cluster.flashed

        def listed():
            found = zip(boards, (first.mac, second.mac), strict=True)
            return [ListedPort(one.port, ESPRESSIF, mac) for one, mac in found if one.is_plugged]

        found = partial(FlashedBoards, list_ports=listed)
        monkeypatch.setattr(run_values, "FlashedBoards", found)
        change(lambda _: cluster)
        boards[1].unplug_after(6000)  # bytes: some tokens
        replug = threading.Thread(target=boards[1].replug, args=(0.5,))
        replug.start()
        assert main(["--ports", "auto", "--prompt", PROMPT, "--no-stats"]) == 0
        replug.join()
    assert capsys.readouterr().out == ANSWER
    # It may be opened once more while it goes.
    lost, *_, again = (record.getMessage() for record in caplog.records)
    assert lost.startswith("lost the port of chip 1") and lost.endswith(": waiting for it")
    assert again == "the port of chip 1 is open again"

