"""Updating stand-in boards over their REPL, which real mpremote then looks at."""

import contextlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from host.build.bundle import chip_files
from host.build.configuration import board_settings, board_uart, configuration
from host.build.shard import shard_digest, shard_file
from host.cluster.coordinator import Coordinator
from host.cluster.dispatcher import Dispatcher
from host.cluster.place import Place
from host.errors import FlashError
from host.executors.host_reduce import HostReduceExecutor
from host.flashing.updating import update
from host.hardware.boards import load
from host.links.transport import Line, Transport, open_port
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from host.parallel.parallelism import Link
from protocol.frame import MAX_FRAME
from protocol.shard_layout import VECTORS
from tests.host.tiny import random_checkpoint
from tests.plans import tensor_plan
from tests.standin_board.board import StandinBoard
from tests.standin_board.micropython_image import filesystem_in, read_files

# The stand-in executes x86; all else is the real board's.
BOARD = replace(load("esp32s3"), mpy_arch="x86")


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint())


@pytest.fixture
def board(micropython, tmp_path):
    with StandinBoard(tmp_path) as standin:
        yield standin


def place_on(board, chip=0, chips=1, link="uart", of=BOARD):
    """Its line is the UART's, so that the REPL stays with the test."""
    return Place(of, board.port, chip, chips, Link(link, "pins"))


def update_board(model, place, on_progress):
    return update(
        place.port, place.board, lambda system: place.files(model, system.version), on_progress
    )


def flash(model, board, on_progress=lambda path, written, total: None, **place):
    """As `update`, and until the board has been reset: what is sent at that moment is lost."""
    resets = board.resets
    done = update_board(model, place_on(board, **place), on_progress)
    board.await_reset(resets)
    return done


def expected(model, chip=0, chips=1, link="uart", arch="x86", rate=None):
    """What should be on the board, made without host.cluster.place."""
    mtu = 250 if link == "espnow" else None
    plan = tensor_plan(model, chips, heap=BOARD.planned_heap(link), mtu=mtu)
    uart = board_uart(BOARD.uart)
    config = configuration(
        plan, plan.shards[chip], uart=uart, rate=rate, board=board_settings(BOARD), fast=True
    )
    return chip_files(model, plan, plan.shards[chip], arch, config, padding=VECTORS)


def mpremote(board, *arguments):
    """What it prints."""
    return subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", board.port, *arguments],
        check=True, capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip


def on_board(board):
    """Every file on the board, by path, as littlefs reads its flash."""
    return read_files(board.flash.read(*filesystem_in(board.flash)))


def copied_back(board, tmp_path):
    """Every file on the board, by path, copied by mpremote."""
    copy = tmp_path / "copy"
    copy.mkdir()
    mpremote(board, "fs", "cp", "-r", ":/", str(copy))
    return {
        str(path.relative_to(copy)): path.read_bytes()
        for path in copy.rglob("*")
        if path.is_file()
    }


def test_every_file_arrives_and_what_others_put_there_stays(model, board, tmp_path):
    (tmp_path / "own.py").write_text("mine = 1\n")
    mpremote(board, "fs", "cp", str(tmp_path / "own.py"), ":own.py")
    steps = []
    done = flash(
        model, board, lambda *step: steps.append(step), chip=2, chips=5, link="espnow"
    )  # fmt: skip
    files = expected(model, 2, 5, "espnow", rate=12)
    size = sum(map(len, files.values()))
    assert done.system.version == (1, 27, 0) and done.files == len(files)
    assert set(done.changes.write) == set(files) and done.changes.size == size
    assert [written for _, written, _ in steps] == sorted(written for _, written, _ in steps)
    assert steps[0][1] == 0 and steps[-1] == ("main.py", size, size)
    assert copied_back(board, tmp_path) == on_board(board) == {**files, "own.py": b"mine = 1\n"}


def test_a_rate_is_not_set_where_micropython_refuses_it(model, micropython, tmp_path):
    with StandinBoard(tmp_path, version="1.26.1") as board:
        done = flash(model, board, link="espnow")
        assert done.system.version == (1, 26, 1)
        assert on_board(board) == expected(model, link="espnow")


def test_flashing_again_copies_what_differs_alone(model, board, tmp_path):
    flash(model, board)
    files = expected(model)
    assert flash(model, board).changes.write == {}
    mpremote(board, "exec", "open('firmware/node.mpy', 'a').write('x')")
    again = flash(model, board)
    assert list(again.changes.write) == ["firmware/node.mpy", "main.py"]
    assert on_board(board) == files
    assert set(flash(model, board, chip=1, chips=2).changes.write) < set(files)


def test_what_an_earlier_deployment_left_goes(model, board, tmp_path):
    mpremote(
        board, "fs", "mkdir", ":firmware", "+", "fs", "mkdir", ":firmware/node", "+",
        "fs", "touch", ":firmware/node/__init__.py", "+", "fs", "touch", ":firmware/main.py",
    )  # fmt: skip
    done = flash(model, board)
    left = ("firmware/node/__init__.py", "firmware/node/", "firmware/main.py")
    assert set(done.changes.remove) == set(left)
    assert on_board(board) == expected(model)
    assert "node\n" not in mpremote(board, "fs", "ls", ":firmware")


@contextlib.contextmanager
def federation_of(model, *boards):
    """The cluster that flashed boards are, over their UARTs."""
    lines = {chip: Line(open_port(board.uart, 921600)) for chip, board in enumerate(boards)}
    transport = Transport(lines, MAX_FRAME)
    try:
        plan = tensor_plan(model, len(boards), heap=BOARD.planned_heap("uart"))
        digests = {s.chip: shard_digest(shard_file(model, plan, s, VECTORS)) for s in plan.shards}
        coordinator = Coordinator(Dispatcher(transport, range(len(boards))))
        federation = HostReduceExecutor(model, plan, coordinator, digests)
        federation.connect(30)
        yield federation
    finally:
        transport.close()


@pytest.mark.verify
def test_flashed_boards_are_a_cluster(model, micropython, tmp_path):
    for chip in range(2):
        (tmp_path / str(chip)).mkdir()
    with StandinBoard(tmp_path / "0") as first, StandinBoard(tmp_path / "1") as second:
        flash(model, first, chip=0, chips=2)
        flash(model, second, chip=1, chips=2)
        with federation_of(model, first, second) as federation:
            assert first.resets == second.resets == 1
            federation.begin()
            tokens = [1, 7, 30, 2]
            logits = [federation.forward([token]) for token in tokens]
            assert np.array_equal(logits, Reference(model).logits([tokens])[0])


def test_a_board_that_is_only_looked_at_runs_on(model, board):
    flash(model, board)
    with pytest.raises(FlashError, match="loads code for x86, and esp32s3 is xtensawin"):
        flash(model, board, of=load("esp32s3"))
    with federation_of(model, board) as federation:
        federation.begin()
        assert federation.forward([1]).any()


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(1000, marks=pytest.mark.verify),
        30_000,
        pytest.param(100_000, marks=pytest.mark.verify),
    ],
)
def test_a_board_unplugged_in_the_middle(model, board, tmp_path, size):
    board.unplug_after(size)
    port = board.port
    with pytest.raises(FlashError, match=rf"lost the board on {port} .*goes on from there"):
        flash(model, board)
    board.replug()
    files = expected(model)
    assert "main.py" not in mpremote(board, "fs", "ls")
    done = flash(model, board)
    there = len(files) - len(done.changes.write)
    assert there > 0 if size > 1000 else there == 0
    assert on_board(board) == files


def test_a_board_unplugged_while_it_is_updated_does_not_start(model, board):
    flash(model, board)
    board.unplug_after(20_000)
    with pytest.raises(FlashError, match="lost the board on .* while writing"):
        flash(model, board, chip=1, chips=2)
    board.replug()
    assert "main.py" not in mpremote(board, "fs", "ls")


def test_an_interrupted_command_is_repeated(model, board, tmp_path):
    def interrupt(path, written, total):
        if written > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        update_board(model, place_on(board), interrupt)
    done = flash(model, board)
    assert 0 < len(done.changes.write) < done.files
    assert on_board(board) == expected(model)


def test_a_file_system_that_is_too_small(model, micropython, tmp_path):
    with StandinBoard(tmp_path, blocks=16) as board:
        with pytest.raises(FlashError, match=r"^no room on the board: \d+ KB .* \d+ KB are free$"):
            flash(model, board)
        assert mpremote(board, "fs", "ls").split() == ["ls", ":"]


def test_a_file_system_that_others_have_filled_takes_them_once_there_is_room(
    model, board, tmp_path
):
    mpremote(board, "exec", "open('own.bin', 'w').write('x' * 900_000)")
    with pytest.raises(FlashError, match=r"^no room on the board: \d+ KB .* \d+ KB are free$"):
        flash(model, board)
    mpremote(board, "fs", "rm", ":own.bin")
    flash(model, board)
    assert on_board(board) == expected(model)
