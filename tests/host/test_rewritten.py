"""Stand-in boards of which one stays away: the others are written anew, and are a cluster."""

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from host.cluster import cluster_file, ports
from host.cluster.cluster_fields import FlashedChip
from host.cluster.place import Place
from host.errors import ClusterError, ModelError
from host.flashing.updating import update
from host.hardware.boards import load
from host.launch import FlashedBoards, RewrittenBoards, open_cluster, rewritten
from host.launch.rewritten import shrink
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from tests.host.attached_clusters import NARROW, cluster_of, flashed
from tests.host.tiny import random_checkpoint
from tests.standin_board.board import StandinBoard
from tests.standin_board.farm import standin_boards

KIND = "esp32s3"
TOKENS = [1, 7, 30, 2]


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint(NARROW))


@pytest.fixture
def farm(model, micropython, tmp_path, monkeypatch):
    """Three boards of a cluster, and its file."""
    monkeypatch.setenv("FEDERATION_BOARDS", str(standin_boards(tmp_path / "boards")))
    with ExitStack() as stack:
        boards = []
        for chip in range(3):
            own = tmp_path / f"board{chip}"
            own.mkdir()
            board = StandinBoard(own, kind=KIND, mac=f"240ac400000{chip}")
            boards.append(stack.enter_context(board))
        cluster = cluster_of(model, chips=3)
        for chip, board in enumerate(boards):
            place = Place(
                load(KIND), board.port, chip, 3, cluster.link, context=cluster.context,
                key=cluster.key,
            )  # fmt: skip
            update(
                board.port, place.board,
                lambda system, place=place: place.files(model, system.version),
                lambda path, size, total: None,
            )  # fmt: skip
            chip = FlashedChip(chip, KIND, board.mac.hex(":"), board.port)
            cluster = cluster.with_chip(chip)
        file = tmp_path / "federation.toml"
        cluster_file.change(lambda _: cluster, file)
        yield boards, cluster, file


def assert_equals_reference(model, run):
    run.executor.begin()
    logits = [run.executor.forward([token]) for token in TOKENS]
    assert np.array_equal(logits, Reference(model).logits([TOKENS])[0])


@pytest.mark.verify
@pytest.mark.timeout(300)
def test_the_other_boards_become_a_cluster_of_their_own(model, farm, monkeypatch):
    boards, cluster, file = farm
    fewer = RewrittenBoards(cluster, 2, file, list)
    own = FlashedBoards(cluster, None, list, fewer)
    with open_cluster(model, own) as run:
        assert_equals_reference(model, run)
    with pytest.raises(ClusterError, match="^3 of 3 boards answer$"), open_cluster(model, fewer):
        pass  # all are there: none is written
    assert cluster_file.read(file) == cluster
    boards[0].unplug_after(1)
    monkeypatch.setattr(ports, "TIMEOUT", 4.0)
    with pytest.raises(ClusterError, match="port|chip 0"), open_cluster(model, own):
        pass
    assert own.without_one(model) is fewer
    with open_cluster(model, fewer, batch=True) as run:
        assert run.executor.plan.chips == 2
        assert_equals_reference(model, run)
    written = cluster_file.read(file)
    assert [(chip.id, chip.mac) for chip in written.flashed] == [
        (0, boards[1].mac.hex(":")), (1, boards[2].mac.hex(":"))
    ]  # fmt: skip
    assert (written.chips, written.key) == (2, cluster.key)

    def refuse(place, model):
        raise AssertionError("they are written already")

    monkeypatch.setattr(rewritten, "_write", refuse)
    for again in (fewer, FlashedBoards(written, None, list)):
        with open_cluster(model, again) as run:
            assert_equals_reference(model, run)


def test_what_is_left_has_numbers_boards_and_ports_of_its_own(model):
    cluster = flashed(cluster_of(model, chips=3), ["/dev/a", "/dev/b", "/dev/c"])
    cluster = replace(cluster, boards=("esp32", "esp32s3", "esp32c3"))
    first, _, last = cluster.flashed
    left = shrink(cluster, {last: "/dev/d", first: "/dev/a"})
    assert left.chips == 2 and left.boards == ("esp32", "esp32c3")
    assert [(chip.id, chip.mac, chip.port) for chip in left.flashed] == [
        (0, first.mac, "/dev/a"), (1, last.mac, "/dev/d")
    ]  # fmt: skip


def test_nothing_is_written_where_the_model_does_not_fit(model, tmp_path, monkeypatch):
    cluster = flashed(cluster_of(model, chips=3), ["/dev/a", "/dev/b", "/dev/c"])
    found = dict(zip(cluster.flashed[1:], ["/dev/b", "/dev/c"], strict=True))
    monkeypatch.setattr(ports, "find_boards", lambda *_: found)
    monkeypatch.setattr(rewritten, "_write", lambda *_: pytest.fail("written"))

    def too_large(place, model):
        raise ModelError("chip 0: 90000 bytes of heap are short")

    monkeypatch.setattr(Place, "plan", too_large)
    file = tmp_path / "federation.toml"
    with (
        pytest.raises(ModelError, match="of heap are short$"),
        open_cluster(model, RewrittenBoards(cluster, 2, file, list)),
    ):
        pass
    assert not file.exists()
    one_fewer = RewrittenBoards(cluster, 2, file, list).without_one(model)
    assert one_fewer.count == 1 and one_fewer.without_one(model) is None
    with pytest.raises(ClusterError, match="^2 of 3 boards answer, not chip 0$"):
        one_fewer.open(model, one_fewer.choose(model)).__enter__()
